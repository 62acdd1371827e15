"""What operators write and operations read: accounts, keys, users, and what each dialect's installation is made of."""
