"""Devices, users and connections that the tests of several modules create."""

from bindery.asseco import owned_devices
from bindery.connectivity import leases, service_addresses
from bindery.connectivity.leases import ANY_CLIENT, Connection
from bindery.directory import accounts, users
from bindery.registry import identity
from bindery.rufus import company_devices

ADDRESS = "80:00:00:00:00:00:00:F1"


def company_device(account: str = "acme", serial: str = "S") -> str:
    """Bind a device to an account."""
    company_devices.bind(account, "M", serial, alias=None, firmware=None, kind=None)
    return identity.company_device(account, "M", serial)


def registration(customer: str, identifier: str = "356", nickname: str = "Phone") -> str:
    """Register a bank customer's device."""
    owned_devices.register(
        customer,
        identifier,
        kind="imei",
        nickname=nickname,
        operating_system="iOS",
        brand_name=None,
        model_name=None,
        push_platform=None,
        push_handle=None,
    )
    return identity.customer_device(identifier)


def user(uid: str) -> users.User:
    """Return a user as a request authenticates them."""
    found = users.show(uid)
    return users.from_items(found, accounts.show(found["account"]))


def connection(uid: str, address: str = ADDRESS, client_ip: str = ANY_CLIENT) -> Connection:
    """Connect a user to the device at a service address."""
    return leases.connect(user(uid), address, service_addresses.find(address), client_ip)
