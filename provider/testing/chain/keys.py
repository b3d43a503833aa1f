"""Public keys-for-everyone of the demo and the tests. Never put value on their accounts.

The first two are the well-known keys of Barge, Ocean's local test network; the others are made up here.
"""

PROVIDER_KEY = "0xfd5c1ccea015b6d663618850824154a3b3fb2882c46cefb05b9a93fea8c3d215"
CONSUMER_KEY = "0x5d75837394b078ce97bc289fa8d75e21000573520bfa7784a9d28ccaae602bf8"
DEPLOYER_KEY = "0x" + "d1" * 32
PUBLISHER_KEY = "0x" + "b2" * 32
STRANGER_KEY = "0x" + "5e" * 32
SPARE_KEYS = tuple(f"0x{number:064x}" for number in range(0xA0, 0xAA))

FUNDED_KEYS = (PROVIDER_KEY, CONSUMER_KEY, DEPLOYER_KEY, PUBLISHER_KEY, STRANGER_KEY, *SPARE_KEYS)
