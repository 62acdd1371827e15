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

// A quectel user, logged in by email address.
async function user(email, password) {
  const random = "0123456789abcdef";
  const key = createHash("md5").update(random).digest("hex").toUpperCase().slice(8, 24);
  const cipher = createCipheriv("aes-128-cbc", key, key.slice(8) + key.slice(0, 8));
  const pwd = cipher.update(password, "utf8", "base64") + cipher.final("base64");
  const signature = createHash("sha256").update(email + pwd + random + env.QUECTEL_DOMAIN_SECRET).digest("hex");
  let token = "";
  const ask = async (method, path, { query = {}, ...options } = {}) => {
    const url = `/v2/${path}?${new URLSearchParams(query)}`;
    const answer = await request(method, url, { headers: { Authorization: token }, ...options });
    if (answer.code !== 200) throw Object.assign(new Error(answer.msg), { code: answer.code });
    return answer.data;
  };
  const use = (tokens) => (token = `Bearer ${tokens.accessToken.token}`) && tokens;
  const form = { email, pwd, random, userDomain: env.QUECTEL_USER_DOMAIN, signature };
  const { refreshToken } = use(await ask("POST", "enduser/enduserapi/emailPwdLogin", { form }));
  const refresh = async () => use(await ask("PUT", "enduser/enduserapi/refreshToken", { query: { refreshToken: refreshToken.token } }));
  return { ask, refresh, call: (method, operation, query) => ask(method, `binding/enduserapi//${operation}`, { query }) };
}

const clients = {
  async rufus() {
    const headers = { api_key: env.RUFUS_API_KEY };
    const { deviceid } = await request("POST", "//v0/devices", { headers, json: { model: "Client", serial_number: "NODE-1" } });
    const { result } = await request("GET", `/v0/devices/${deviceid}/`, { headers: { API_KEY: env.RUFUS_READ_KEY } });
    texts(result, "deviceid", "model", "serial_number").model.toUpperCase();
    const { token_session } = await request("POST", "/v0//sessions", { headers, json: { deviceid } });
    const passings_list = [{ timestamp: new Date().toISOString(), num_passing: 1, bib: "7", latitude: 51.5, longitude: "-0.1" }];
    const { inserted_count } = await request("POST", "/v0/passings", { headers, json: { token_session, passings_list } });
    assert.strictEqual(inserted_count, passings_list.length);
    for (let page = 1, more = true; more; page += 1) {
      const found = await request("GET", `/v0/devices?page=${page}&limit=1`, { headers });
      texts(found.result[0], "deviceid");
      more = found.pagination.has_more;
    }
    await request("DELETE", `/v0/devices/${deviceid}`, { headers: { api_key: env.RUFUS_UNBIND_KEY } });
    await assert.rejects(request("GET", `/v0/devices/${deviceid}`, { headers }), { status: 404 });
  },

  async quectel() {
    const owner = await user(env.QUECTEL_EMAIL, env.QUECTEL_PASSWORD);
    texts(await owner.ask("GET", "enduser/enduserapi/userInfo"), "uid", "email", "nikeName", "phone", "lang", "timezone");
    const products = await owner.ask("GET", "enduser/enduserapi/getProductList", { query: { pageNum: 1, pageSize: 50 } });
    const { productKey: pk } = texts(products.list.find((product) => product.productKey === env.QUECTEL_PK));
    assert.strictEqual((await owner.call("GET", "getDeviceInfoByBinding", { pk })).bindingMode, 2);

    const { dk, authKey } = await owner.call("POST", "bindDeviceSn", { pk, sn: env.QUECTEL_SN, deviceName: "Door" });
    assert.strictEqual(Buffer.from(authKey, "base64").length, 16);
    await owner.refresh();
    assert.strictEqual((await owner.ask("POST", "binding/enduserapi/getAuthKey", { form: { pk, dk } })).authKey, authKey);
    const replaced = await owner.ask("POST", "binding/enduserapi/regenerateAuthKey", { form: { pk, dk } });
    assert.notStrictEqual(texts(replaced).authKey, authKey);
    const device = await owner.call("GET", "getDeviceBindingInfo", { pk, dk });
    assert.strictEqual(texts(device, "deviceName", "productName", "sn", "authKey", "uid").authKey, replaced.authKey);
    await assert.rejects(owner.call("GET", "getDeviceUpgradePlan", { pk, dk }), { code: 404 });

    const expiry = { acceptingExpireAt: Date.now() + 3600e3, sharingExpireAt: Date.now() + 86400e3, coverMark: 1 };
    const shareCode = await owner.call("POST", "shareInfo", { pk, dk, ...expiry });
    const guest = await user(env.QUECTEL_EMAIL_OTHER, env.QUECTEL_PASSWORD_OTHER);
    assert.strictEqual((await guest.call("GET", "deviceInfo", { shareCode })).deviceName, "Door");
    await guest.call("POST", "shareDevice", { shareCode, deviceName: "Their door" });
    const { list } = await guest.call("GET", "userDeviceList", { page: 1, pageSize: 50 });
    const shared = list.find(({ deviceKey }) => deviceKey === dk);
    assert.strictEqual(texts(shared, "productKey", "productName", "authKey", "deviceStatus", "shareCode").deviceType, 2);
    const attributes = await guest.call("GET", "getDeviceBusinessAttributes", { pk, dk, type: "1,2,3" });
    attributes.customizeTslInfo.forEach(({ resourceCode, resourceValce }) => texts({ resourceCode, resourceValce }));
    await guest.call("DELETE", "unbundlingDeviceDk", { pk, dk });
    await owner.call("DELETE", "unbundlingDeviceDk", { pk, dk });
    await assert.rejects(owner.call("GET", "deviceInfo", { pk, dk }), { code: 5052 });
  },

  async remoteit() {
    const headers = { apikey: env.REMOTEIT_DEVELOPER_KEY };
    const call = (method, path, json) => request(method, `/apv/v27/${path}`, { headers, json });
    headers.token = (await call("POST", "/user/login", { username: env.REMOTEIT_USERNAME, password: env.REMOTEIT_PASSWORD })).token;
    const { devices } = await call("GET", "/device/list/all");
    const usable = devices.filter(({ scripting, weburi, webviewerurl, ...device }) =>
      typeof scripting === "boolean" && [weburi, webviewerurl].every(Array.isArray) && texts(device).devicestate === "active");
    const { deviceaddress } = usable.find(({ webenabled, servicetitle }) => webenabled === "1" && servicetitle === "HTTP");
    await call("POST", "device/name", { deviceaddress, devicealias: "Hall camera" });
    const named = await call("POST", "device/find/by/name", { devicename: "hall", devicestate: "all" });
    assert.deepStrictEqual(named.devices.map((device) => device.deviceaddress), [deviceaddress]);
    const metadata = await call("GET", "device/metadata/list/me");
    texts(metadata.devices[deviceaddress], "hardwareid", "statusA", "statusE", "categoryA", "categoryE");
    const { connection, connectionid } = await call("POST", "device/connect", { deviceaddress, wait: "true", hostip: "203.0.113.5" });
    assert.match(texts(connection).proxy, /^https?:\/\/(\S+?)(:\d+)?$/);
    assert.ok(new Date(connection.requestedAt) <= new Date());
    assert.strictEqual((await call("POST", "/device/connect/stop/", { deviceaddress, connectionid })).status, "true");
    await assert.rejects(call("POST", "user/login", { username: "nobody", password: "wrong" }), { status: 401 });
  },

  async asseco() {
    const headers = { authorization: `bearer ${env.ASSECO_TOKEN}` };
    const call = (method, path, json) => request(method, `/v1/device/${path}`, { headers, json });
    const id = "490154203237518";
    await call("POST", "owned-devices", { "external-device-identifier": id, "operating-system": "iOS", nickname: "N", "brand-name": "B", "model-name": "M" });
    texts(await call("GET", `owned-devices/${id}`), "imei", "customer-id", "status", "nickname");
    const { items } = await call("GET", "/classifications/");
    for (const { "schema-id": schema } of items) {
      const { values } = texts(await call("GET", `classifications/${schema}`), "schema-id", "name", "description");
      values.forEach((value) => texts(value, "literal", "description"));
    }
    for (const issued of (await call("GET", "issued-devices/")).devices) texts(issued, "device-id", "kind", "status");
    await call("POST", `/owned-devices/${id}/unregister`, {});
    await assert.rejects(call("POST", `owned-devices/${id}/block`, {}), { status: 440 });
  },

  async vodlix() {
    const mac_address = "AABBCCDDEE02";
    const form = { mac_address, device_os: "Android", device_version: "12", device_type: "TV", app_version: "2", app_name: "A" };
    assert.strictEqual((await request("POST", "/api//v2/device", { form })).data.mac_address, mac_address);
    assert.strictEqual((await request("POST", "/api/v2/device_check", { json: { mac_address } })).data.status, 1);
    await request("POST", "/api/v2/device_activity", { json: { mac_address, current_screen: "home" } });
    assert.strictEqual((await request("GET", "/api/base/configs/")).configs.device_management, 1);
    await assert.rejects(request("POST", "/api/v2/device", { form: { mac_address } }), { status: 400 });
  },
};

await clients[process.argv[2]]();
