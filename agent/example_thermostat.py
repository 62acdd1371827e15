#!/usr/bin/env python3
"""Report a temperature and obey a switch: python3 example_thermostat.py URL CREDENTIAL_FILE SENSOR_FILE.

On a Raspberry Pi, /sys/class/thermal/thermal_zone0/temp has the processor's temperature in thousandths of a degree.
"""

import asyncio
import sys
from pathlib import Path
from typing import Any

from bindery_agent import Agent


async def main(url: str, credential_file: str, sensor_file: str) -> None:
    """Report the temperature every minute."""
    agent = Agent(url, credential_file)

    async def obey(values: Any) -> None:
        if not isinstance(values, dict) or values.keys() != {"switch"}:
            raise ValueError("this device has only a switch")
        await agent.report(switch=values["switch"])

    agent.obey = obey
    running = asyncio.ensure_future(agent.run())
    while not running.done():
        online = await agent.report(temperature=int(Path(sensor_file).read_text()) / 1000)
        await asyncio.wait({running}, timeout=60 if online else 1)


asyncio.run(main(*sys.argv[1:]))
