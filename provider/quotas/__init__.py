"""How much consumers may take: downloads and bytes per order, per consumer and day, per dataset and month."""
