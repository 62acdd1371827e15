"""Examples in the help of each group and command."""

from collections.abc import Iterator, Mapping, Sequence

import typer
from typer.models import CommandInfo, TyperInfo

_KEY = "5ee6280b548691323773baf05628d75012001d561a277f5cdd49196f19f2e8d0"

EXAMPLES: Mapping[str, Sequence[str]] = {
    "accounts": ("bindery accounts create acme --name 'Acme Ltd'", "bindery accounts disable acme"),
    "accounts create": ("bindery accounts create acme --name 'Acme Ltd'",),
    "accounts delete": ("bindery accounts delete acme", "bindery accounts delete acme --cascade"),
    "accounts disable": ("bindery accounts disable acme",),
    "accounts enable": ("bindery accounts enable acme",),
    "accounts limit": (
        "bindery accounts limit acme --per-second 100 --burst 200",
        "bindery accounts limit acme --none",
    ),
    "accounts list": ("bindery accounts list --all",),
    "accounts show": ("bindery accounts show acme",),
    "accounts spread": ("bindery accounts spread acme 4",),
    "bulk": ("bindery bulk ban --file devices.csv --reason recalled", "bindery bulk undo devices.csv.ban"),
    "bulk activate": ("bindery bulk activate --account acme --state inactive",),
    "bulk assign": ("bindery bulk assign --file addresses.csv",),
    "bulk ban": (
        "bindery bulk ban --file devices.csv --reason recalled",
        "bindery bulk ban --product p1117e --state never-seen --reason recalled",
    ),
    "bulk deactivate": ("bindery bulk deactivate --account acme",),
    "bulk delete": ("bindery bulk delete --file scrapped.csv",),
    "bulk disable": ("bindery bulk disable --product p1117e --dry-run", "bindery bulk disable --product p1117e"),
    "bulk enable": ("bindery bulk enable --product p1117e --state disabled",),
    "bulk found": ("bindery bulk found --file devices.csv",),
    "bulk lost": ("bindery bulk lost --file devices.csv --reason 'lost in transit'",),
    "bulk resume": ("bindery bulk resume devices.csv.ban",),
    "bulk retire": ("bindery bulk retire --file devices.csv --reason worn",),
    "bulk return": ("bindery bulk return --file devices.csv --reason refurbished",),
    "bulk status": ("bindery bulk status", "bindery bulk status devices.csv.ban"),
    "bulk unassign": ("bindery bulk unassign --file devices.csv",),
    "bulk unban": ("bindery bulk unban --file devices.csv",),
    "bulk unbind": ("bindery bulk unbind --file devices.csv --reason refunded",),
    "bulk undo": ("bindery bulk undo devices.csv.ban",),
    "connections": (
        "bindery connections list --serial SN0000000001",
        "bindery connections stop --serial SN0000000001 ada",
    ),
    "connections list": ("bindery connections list --serial SN0000000001", "bindery connections list --caller ada"),
    "connections stop": ("bindery connections stop --serial SN0000000001 ada",),
    "devices": (
        "bindery devices show --serial SN0000000001",
        "bindery devices ban --serial SN0000000001 --reason stolen",
        "bindery devices import lamps.csv",
    ),
    "devices accept": ("bindery devices accept --serial SN0000000001 --uid ben",),
    "devices activate": ("bindery devices activate --serial SN0000000001",),
    "devices address": (
        "bindery devices address --serial SN0000000001 80:00:00:00:00:00:00:F1 \\\n  --service ssh --port 22",
        "bindery devices address --serial SN0000000001 --remove",
    ),
    "devices backfill-credentials": ("bindery devices backfill-credentials",),
    "devices ban": (
        "bindery devices ban --serial SN0000000001 --reason stolen",
        "bindery devices ban --mac A1:B2:C3:D4:E5:F6 --reason 'reported by Acme'",
    ),
    "devices deactivate": ("bindery devices deactivate --serial SN0000000001",),
    "devices decline": ("bindery devices decline --serial SN0000000001 --uid ben",),
    "devices delete": ("bindery devices delete --serial SN0000000001",),
    "devices disable": ("bindery devices disable --serial SN0000000001 --product p1117e",),
    "devices enable": ("bindery devices enable --serial SN0000000001 --product p1117e",),
    "devices find": ("bindery devices find --serial SN0000000001", "bindery devices find --mac A1:B2:C3:D4:E5:F6"),
    "devices found": ("bindery devices found --serial SN0000000001",),
    "devices history": ("bindery devices history --serial SN0000000001 --all",),
    "devices import": ("bindery devices import lamps.csv --dry-run", "bindery devices import lamps.csv"),
    "devices key": ("bindery devices key --serial SN0000000001 --quiet > device.key",),
    "devices labels": ("bindery devices labels --product p1117e --file lamps.csv --output lamps.pdf",),
    "devices list": (
        "bindery devices list --product p1117e --state bound --since 7d --all",
        "bindery devices list --state banned",
    ),
    "devices lost": ("bindery devices lost --serial SN0000000001 --reason 'left in a taxi'",),
    "devices offer": ("bindery devices offer --serial SN0000000001 --to ben --days 3",),
    "devices online": ("bindery devices online --limit 100",),
    "devices retire": ("bindery devices retire --serial SN0000000001 --reason broken",),
    "devices return": ("bindery devices return --serial SN0000000001 --reason refunded",),
    "devices revoke-key": ("bindery devices revoke-key --serial SN0000000001",),
    "devices show": (
        "bindery devices show --serial SN0000000001",
        "bindery devices show --address 80:00:00:00:00:00:00:F1 --output json",
    ),
    "devices unban": ("bindery devices unban --serial SN0000000001",),
    "devices unbind": (
        "bindery devices unbind --serial SN0000000001 --reason 'sold second-hand'",
        "bindery devices unbind --serial SN0000000001 --uid ada --reason sold",
    ),
    "devices withdraw": ("bindery devices withdraw --serial SN0000000001",),
    "doctor": ("bindery doctor", "bindery doctor --endpoint https://api.example.com --profile ops"),
    "domains": ("bindery domains create app", "bindery domains change app --binders administrators"),
    "domains change": ("bindery domains change app --binders administrators",),
    "domains create": ("bindery domains create app", "bindery domains create app --given < secret.txt"),
    "domains delete": ("bindery domains delete app --cascade",),
    "domains list": ("bindery domains list",),
    "domains secret": ("bindery domains secret app",),
    "domains show": ("bindery domains show app",),
    "events": ("bindery events tail --type device.bound --type device.unbound",),
    "events tail": ("bindery events tail", "bindery events tail --type device.bound --output json"),
    "export": (
        "bindery export devices --state bound --file devices.csv",
        "bindery export history --since 2026-12-01 --file events.ndjson",
    ),
    "export accounts": ("bindery export accounts --file accounts.csv",),
    "export connections": ("bindery export connections --caller ada --file connections.csv",),
    "export dead": ("bindery export dead --webhook wh_3f8a1c5e7b9d2046 --file dead.csv",),
    "export deliveries": ("bindery export deliveries --webhook wh_3f8a1c5e7b9d2046 \\\n  --file deliveries.csv",),
    "export devices": ("bindery export devices --file devices.csv",),
    "export domains": ("bindery export domains --file domains.csv",),
    "export families": ("bindery export families --owner ada --file families.csv",),
    "export history": ("bindery export history --since 30d --file history.csv",),
    "export issued": ("bindery export issued --customer MIGR00002 --file issued.csv",),
    "export keys": ("bindery export keys --account acme --file keys.csv",),
    "export online": ("bindery export online --file online.csv",),
    "export products": ("bindery export products --file products.csv",),
    "export unrecorded": ("bindery export unrecorded --file unrecorded.csv",),
    "export users": ("bindery export users --account acme --file users.csv",),
    "export webhooks": ("bindery export webhooks --file webhooks.csv",),
    "families": ("bindery families create f1 --owner ada --member ben --room kitchen",),
    "families change": (
        "bindery families change f1 --member ben --member cleo",
        "bindery families change f1 --no-rooms",
    ),
    "families create": ("bindery families create f1 --owner ada --member ben --room kitchen",),
    "families delete": ("bindery families delete home-1",),
    "families list": ("bindery families list ada",),
    "families show": ("bindery families show f1",),
    "find": ("bindery find SN0000000001", "bindery find ada@example.com", "bindery find < key.txt"),
    "history": (
        "bindery devices history --serial SN0000000001",
        "bindery history verify --serial SN0000000001",
        "bindery history export --since 2026-12-01 --file december.ndjson",
    ),
    "history export": (
        "bindery history export --since 2026-12-01 --file december.ndjson",
        "bindery history export | gzip > events.ndjson.gz",
    ),
    "history list": (
        "bindery history list --operator arn:aws:iam::123456789012:user/grace",
        "bindery history list --since 2026-12-01 \\\n  --operator arn:aws:iam::123456789012:user/grace",
    ),
    "history retry": ("bindery history retry",),
    "history show": ("bindery history show 0123456789abcdef0123456789abcdef",),
    "history unrecorded": ("bindery history unrecorded",),
    "history verify": ("bindery history verify --serial SN0000000001",),
    "issued": ("bindery issued list MIGR00002", "bindery issued status MIGR00002 TOKEN-0001 --status blocked"),
    "issued history": ("bindery issued history MIGR00002",),
    "issued import": ("bindery issued import cards.csv --dry-run", "bindery issued import cards.csv"),
    "issued list": ("bindery issued list MIGR00002", "bindery issued list 'auth0|5f7c8ec7'"),
    "issued status": (
        "bindery issued status MIGR00002 TOKEN-0001 --status blocked",
        "bindery issued status MIGR00002 CARD-0001 --card-status reported-as-lost",
    ),
    "keys": ("bindery keys create acme --kind rufus --alias 'timing app'", "bindery find < key.txt"),
    "keys create": (
        "bindery keys create acme --kind rufus --alias 'timing app' --grant READ",
        "bindery keys create acme --kind remoteit --alias cloud --quiet > key.txt",
    ),
    "keys delete": (f"bindery keys delete \\\n  {_KEY}",),
    "keys limit": (f"bindery keys limit --per-second 50 \\\n  {_KEY}", f"bindery keys limit --none \\\n  {_KEY}"),
    "keys list": ("bindery keys list acme",),
    "keys revoke": (f"bindery keys revoke \\\n  {_KEY}",),
    "keys rotate": (f"bindery keys rotate --overlap 3600 \\\n  {_KEY}",),
    "keys show": (f"bindery keys show \\\n  {_KEY}",),
    "privacy": (
        "bindery privacy export ada --file ada.json",
        "bindery privacy erase ada --receipt ada-receipt.json",
        "bindery privacy verify ada-receipt.json",
    ),
    "privacy erase": (
        "bindery privacy erase ada --receipt ada-receipt.json",
        "bindery privacy erase --customer MIGR00002",
    ),
    "privacy export": (
        "bindery privacy export ada --file ada.json",
        "bindery privacy export --customer 'auth0|5f7c8ec7'",
    ),
    "privacy verify": ("bindery privacy verify ada-receipt.json",),
    "products": (
        "bindery products create p1117e --name Lamp --module-type M",
        "bindery products tsl p1117e lamp-tsl.json",
    ),
    "products admit": ("bindery products admit p1117e ada",),
    "products bar": ("bindery products bar p1117e ada",),
    "products change": ("bindery products change p1117e --name 'Garden lamp'",),
    "products create": (
        "bindery products create p1117e --name Lamp --module-type M",
        "bindery products create p1117r --name Bike --module-type M --mode rotating",
    ),
    "products delete": ("bindery products delete p1117e", "bindery products delete p1117e --cascade"),
    "products keep": ("bindery products keep p1117e",),
    "products list": ("bindery products list",),
    "products show": ("bindery products show p1117e",),
    "products tsl": ("bindery products tsl p1117e lamp-tsl.json",),
    "relay-host": (
        "bindery relay-host --listen 0.0.0.0 --ports 34168-34267 \\\n  --devices-url wss://link.example.com/link",
    ),
    "restore": (
        "bindery restore bindery --to 2026-11-20T12:00:00Z",
        "bindery restore bindery --to 2026-11-20T12:00:00Z --from-region eu-west-1",
    ),
    "settings": ("bindery settings list", "bindery settings set device_management 0"),
    "settings list": ("bindery settings list",),
    "settings set": ("bindery settings set device_management 0",),
    "settings show": ("bindery settings show device_management",),
    "stats": ("bindery stats", "bindery stats --product p1117e --days 30"),
    "switch": (
        "bindery switch bindery",
        "bindery switch bindery restored-devices restored-bindings \\\n  restored-directory",
    ),
    "tunnel": ("bindery tunnel 80:00:00:00:00:00:00:F1 --service ssh --listen 2222", "ssh -p 2222 root@127.0.0.1"),
    "users": (
        "bindery users create ada --account acme --email ada@example.com",
        "bindery users list --email ada@example.com",
        "bindery users disable ada",
    ),
    "users change": (
        "bindery users change ada --email ada@example.com --phone '+44 7700 900123'",
        "bindery users change ada --customer ''",
    ),
    "users create": (
        "bindery users create ada --account acme --email ada@example.com",
        "bindery users create ben --account acme --domain app --role administrator",
        "bindery users create cleo --account bank --customer MIGR00002",
    ),
    "users disable": ("bindery users disable ada",),
    "users enable": ("bindery users enable ada",),
    "users history": ("bindery users history ada --all",),
    "users list": ("bindery users list acme --all", "bindery users list --email ada@example.com"),
    "users password": ("bindery users password ada", "bindery users password ada < password.txt"),
    "users revoke-tokens": ("bindery users revoke-tokens ada",),
    "users show": ("bindery users show ada",),
    "users token": ("bindery users token ada --dialect quectel --lifetime 600 --quiet",),
    "webhooks": (
        "bindery webhooks create https://crm.example.com/bindery --type device.bound",
        "bindery webhooks test wh_3f8a1c5e7b9d2046",
        "bindery webhooks replay wh_3f8a1c5e7b9d2046 --since 2026-12-01",
    ),
    "webhooks create": (
        "bindery webhooks create https://crm.example.com/bindery",
        "bindery webhooks create https://crm.example.com/bindery --type device.bound",
    ),
    "webhooks dead": ("bindery webhooks dead wh_3f8a1c5e7b9d2046",),
    "webhooks delete": ("bindery webhooks delete wh_3f8a1c5e7b9d2046",),
    "webhooks deliveries": ("bindery webhooks deliveries wh_3f8a1c5e7b9d2046 --limit 10",),
    "webhooks disable": ("bindery webhooks disable wh_3f8a1c5e7b9d2046 --reason maintenance",),
    "webhooks enable": ("bindery webhooks enable wh_3f8a1c5e7b9d2046",),
    "webhooks list": ("bindery webhooks list",),
    "webhooks replay": (
        "bindery webhooks replay wh_3f8a1c5e7b9d2046 --since 2026-12-01",
        "bindery webhooks replay wh_3f8a1c5e7b9d2046 --dead",
    ),
    "webhooks rotate": ("bindery webhooks rotate wh_3f8a1c5e7b9d2046",),
    "webhooks show": ("bindery webhooks show wh_3f8a1c5e7b9d2046",),
    "webhooks test": ("bindery webhooks test wh_3f8a1c5e7b9d2046",),
    "webhooks types": ("bindery webhooks types wh_3f8a1c5e7b9d2046 --type device.bound",),
}
"""Command lines by the group or command whose help shows them, sorted."""


def add(app: typer.Typer) -> None:
    """Add the examples to the help of all groups and commands."""
    for path, info in commands(app):
        examples = EXAMPLES.get(path, ())
        if examples:
            title = "Example" if len(examples) == 1 else "Examples"
            lines = [line for example in examples for line in example.split("\n")]
            block = "\n  ".join((f"\b\n{title}:", *lines))
            info.epilog = f"{block}\n\n{info.epilog}" if isinstance(info.epilog, str) else block


def commands(app: typer.Typer) -> Iterator[tuple[str, CommandInfo | TyperInfo]]:
    """Yield all commands and groups by their name."""
    for single in app.registered_commands:
        assert single.callback is not None
        yield single.name or single.callback.__name__.replace("_", "-"), single
    for group in app.registered_groups:
        assert group.typer_instance is not None
        yield str(group.name), group
        for name, command in commands(group.typer_instance):
            yield f"{group.name} {name}", command
