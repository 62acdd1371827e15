// Clients in the style of Node.js applications: wrappers of fetch that throw for any status but 2xx, and reading members
// of what they expect to be there.
import assert from "node:assert";
import { createCipheriv, createHash } from "node:crypto";

const env = process.env;

async function request(method, url, { headers = {}, json, form } = {}) {
  const body = json ? JSON.stringify(json) : form ? new URLSearchParams(form) : undefined;
  const type = json ? { "Content-Type": "application/json; charset=utf-8" } : {};
  const response = await fetch(new URL(env.HOST + url), { method, body, headers: { ...type, ...headers }, redirect: "error" });
  if (!response.ok) throw Object.assign(new Error(`Request failed with status code ${response.status}`), { status: response.status });
  const text = await response.text();
  return text ? JSON.parse(text) : undefined;
}

function texts(record, ...names) {
  for (const name of names.length ? names : Object.keys(record)) assert.strictEqual(typeof record[name], "string", name);
  return record;
}

const clients = {
  async rufus() {
    const headers = { api_key: env.RUFUS_API_KEY };
    const { deviceid } = await request("POST", "//v0/devices", { headers, json: { model: "Client", serial_number: "NODE-1" } });
    const { result } = await request("GET", `/v0/devices/${deviceid}/`, { headers: { API_KEY: env.RUFUS_READ_KEY } });
    texts(result, "deviceid", "model", "serial_number").model.toUpperCase();
    for (let page = 1, more = true; more; page += 1) {
      const found = await request("GET", `/v0/devices?page=${page}&limit=1`, { headers });
      texts(found.result[0], "deviceid");
      more = found.pagination.has_more;
    }
    await request("DELETE", `/v0/devices/${deviceid}`, { headers: { api_key: env.RUFUS_UNBIND_KEY } });
    await assert.rejects(request("GET", `/v0/devices/${deviceid}`, { headers }), { status: 404 });
  },

  async quectel() {
    const random = "0123456789abcdef";
    const key = createHash("md5").update(random).digest("hex").toUpperCase().slice(8, 24);
    const cipher = createCipheriv("aes-128-cbc", key, key.slice(8) + key.slice(0, 8));
    const pwd = cipher.update(env.QUECTEL_PASSWORD, "utf8", "base64") + cipher.final("base64");
    const signed = env.QUECTEL_EMAIL + pwd + random + env.QUECTEL_DOMAIN_SECRET;
    const form = { email: env.QUECTEL_EMAIL, pwd, random, userDomain: env.QUECTEL_USER_DOMAIN, signature: createHash("sha256").update(signed).digest("hex") };
    const login = await request("POST", "/v2/enduser/enduserapi/emailPwdLogin", { form });
    const headers = { Authorization: `Bearer ${login.data.accessToken.token}` };
    const call = async (method, operation, query) => {
      const answer = await request(method, `/v2/binding/enduserapi//${operation}?${new URLSearchParams(query)}`, { headers });
      if (answer.code !== 200) throw new Error(`${answer.code} ${answer.msg}`);
      return answer.data;
    };
    const { pk, dk, authKey } = await call("POST", "bindDeviceSn", { pk: env.QUECTEL_PK, sn: env.QUECTEL_SN });
    assert.strictEqual(Buffer.from(authKey, "base64").length, 16);
    const shareCode = await call("POST", "shareInfo", { pk, dk, acceptingExpireAt: Date.now() + 60000, sharingExpireAt: Date.now() + 120000 });
    texts({ shareCode });
    const { list } = await call("GET", "userDeviceList", { page: 1, pageSize: 50 });
    texts(list.find((device) => device.deviceKey === dk), "productKey", "deviceName", "productName", "authKey", "deviceStatus");
    await call("DELETE", "unbundlingDeviceDk", { pk, dk });
  },

  async remoteit() {
    const headers = { apikey: env.REMOTEIT_DEVELOPER_KEY };
    const call = (method, path, json) => request(method, `/apv/v27/${path}`, { headers, json });
    headers.token = (await call("POST", "/user/login", { username: env.REMOTEIT_USERNAME, password: env.REMOTEIT_PASSWORD })).token;
    const { devices } = await call("GET", "/device/list/all");
    const [{ deviceaddress }] = devices.filter(({ scripting, ...device }) => typeof scripting === "boolean" && texts(device).devicestate === "active");
    const { connection, connectionid } = await call("POST", "device/connect", { deviceaddress, wait: "true", hostip: "203.0.113.5" });
    assert.match(texts(connection).proxy, /^https?:\/\/(\S+?)(:\d+)?$/);
    assert.strictEqual((await call("POST", "/device/connect/stop/", { deviceaddress, connectionid })).status, "true");
    await assert.rejects(call("POST", "user/login", { username: "nobody", password: "wrong" }), { status: 401 });
  },

  async asseco() {
    const headers = { authorization: `bearer ${env.ASSECO_TOKEN}` };
    const call = (method, path, json) => request(method, `/v1/device/${path}`, { headers, json });
    const id = "490154203237518";
    await call("POST", "owned-devices", { "external-device-identifier": id, "operating-system": "iOS", nickname: "N", "brand-name": "B", "model-name": "M" });
    texts(await call("GET", `owned-devices/${id}`), "imei", "customer-id", "status", "nickname");
    for (const issued of (await call("GET", "issued-devices/")).devices) texts(issued, "device-id", "kind");
    assert.ok(await call("GET", "/classifications/"));
    await call("POST", `/owned-devices/${id}/unregister`, {});
  },

  async vodlix() {
    const mac_address = "AABBCCDDEE02";
    const form = { mac_address, device_os: "Android", device_version: "12", device_type: "TV", app_version: "2", app_name: "A" };
    assert.strictEqual((await request("POST", "/api//v2/device", { form })).data.mac_address, mac_address);
    assert.strictEqual((await request("POST", "/api/v2/device_check", { json: { mac_address } })).data.status, 1);
    assert.strictEqual((await request("GET", "/api/base/configs/")).configs.device_management, 1);
  },
};

await clients[process.argv[2]]();
