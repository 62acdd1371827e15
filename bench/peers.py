"""Sources of the handler modules with which functions are compared."""

BARE = "a bare boto3 client"
USUAL = "the usual implementation of `rufus.bind_device`"

_CLIENT = "import boto3\nclient = boto3.client('dynamodb')\n"
_CALLS = """
import json, os
from botocore import xform_name
with open(os.environ["BENCH_CASE"]) as file:
    calls = [(getattr(client, xform_name(name)), params) for name, params in json.load(file)["calls"]]
def make_calls():
    for method, params in calls:
        method(**params)
"""

PEERS = {
    # Only a function's DynamoDB calls, with the SDK. The baseline of all ratios.
    BARE: _CLIENT + _CALLS + "def handler(event, context):\n    make_calls()\n    return {'statusCode': 200}\n",
    # A resolver that validates, and boto3. It makes the calls and responds, without evaluating what it reads.
    USUAL: _CLIENT
    + _CALLS
    + """
from aws_lambda_powertools.event_handler import APIGatewayHttpResolver
from pydantic import BaseModel
app = APIGatewayHttpResolver(enable_validation=True)
class Device(BaseModel):
    model: str
    serial_number: str
@app.post("/v0/devices")
def bind(device: Device) -> dict[str, str]:
    make_calls()
    return {"description": device.serial_number}
def handler(event, context):
    event["headers"]["content-type"] = "application/json"
    return app.resolve(event, context)
""",
    "FastAPI and Mangum": _CLIENT
    + """
from fastapi import FastAPI
from mangum import Mangum
app = FastAPI()
@app.get("/")
def hello() -> dict[str, str]:
    return {"message": "hello"}
handler = Mangum(app)
""",
}
