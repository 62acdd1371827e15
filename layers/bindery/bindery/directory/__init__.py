"""What operators write and operations read: accounts, keys, users, and what each dialect's installation is made of."""

BY_LIST = "by_list"
"""The index of what operators list: partition key `list`, sort key `pk`. Items that no list shows have no `list`."""
