from provider.proofs.pace import poll_seconds, retry_seconds


def test_retries_come_ever_later_up_to_ten_minutes() -> None:
    pauses = [retry_seconds(attempts) for attempts in range(12)]
    assert pauses[:4] == [2.0, 4.0, 8.0, 16.0]
    assert pauses == sorted(pauses)
    assert pauses[-1] == retry_seconds(10**6) == 600.0


def test_a_transaction_is_looked_at_less_often_the_older_it_is() -> None:
    assert [poll_seconds(age, first_seconds=2.0) for age in (0.0, 8.0, 40.0, 1e6)] == [2.0, 2.0, 10.0, 60.0]
