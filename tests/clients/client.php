<?php
// Clients in the style of PHP applications: file_get_contents warns of any status of 400 or more, and so does reading a
// member that is not there. A warning ends the client.
set_error_handler(fn (int $level, string $text, string $file, int $line) => throw new ErrorException($text, 0, $level, $file, $line));

function ask(string $method, string $path, array $headers, ?array $json = null, ?string $form = null): ?array
{
    if ($json !== null) $headers["Content-Type"] = "application/json";
    if ($form !== null) $headers["Content-Type"] = "application/x-www-form-urlencoded";
    $lines = array_map(fn ($name, $value) => "$name: $value", array_keys($headers), $headers);
    $http = ["method" => $method, "header" => $lines, "content" => $json === null ? $form ?? "" : json_encode($json), "timeout" => 120];
    $text = file_get_contents(getenv("HOST") . $path, false, stream_context_create(["http" => $http]));
    return $text === "" ? null : json_decode($text, true, 512, JSON_THROW_ON_ERROR);
}

function check(bool $holds, string $what): void
{
    if (!$holds) throw new UnexpectedValueException($what);
}

function rufus(): void
{
    $company = ["API_KEY" => getenv("RUFUS_API_KEY")];
    ["deviceid" => $id] = ask("POST", "/v0/devices//", $company, ["model" => "Client", "serial_number" => "PHP-1", "type" => null]);
    $device = ask("GET", "/v0//devices/$id", $company)["result"];
    check($device["serial_number"] === "PHP-1" && new DateTime($device["creation_date"]) <= new DateTime("+1 minute"), "device");
    ["token_session" => $session] = ask("POST", "/v0/sessions", $company, ["deviceid" => $id, "alias" => "Heat 1"]);
    $passing = ["timestamp" => gmdate(DATE_ATOM), "num_passing" => 1, "bib" => "101", "chip" => "AB12", "latitude" => 48.2];
    foreach ([0, 1] as $duplicates) {
        $inserted = ask("POST", "/v0/passings", $company, ["token_session" => $session, "passings_list" => [$passing]]);
        check($inserted["duplicate_count"] === $duplicates, "a retry inserts no passing twice");
    }
    check(ask("GET", "/v0/devices?page=1&limit=5000", $company)["pagination"]["has_more"] === false, "one page");
    ask("DELETE", "/v0/devices/$id", ["api_key" => getenv("RUFUS_UNBIND_KEY")]);
}

function quectel(): void
{
    $random = "ZYXWVUTS98765432";
    $key = substr(strtoupper(md5($random)), 8, 16);
    $pwd = openssl_encrypt(getenv("QUECTEL_PASSWORD"), "aes-128-cbc", $key, 0, substr($key, 8) . substr($key, 0, 8));
    $email = getenv("QUECTEL_EMAIL");
    $signature = hash("sha256", $email . $pwd . $random . getenv("QUECTEL_DOMAIN_SECRET"));
    $form = ["email" => $email, "pwd" => $pwd, "random" => $random, "userDomain" => getenv("QUECTEL_USER_DOMAIN"), "signature" => $signature];
    $headers = [];
    $call = function (string $method, string $operation, array $query = [], ?array $form = null) use (&$headers): mixed {
        $answer = ask($method, "/v2/$operation?" . http_build_query($query), $headers, null, $form ? http_build_query($form) : null);
        if ($answer["code"] !== 200) throw new RuntimeException($answer["msg"], $answer["code"]);
        return $answer["data"];
    };
    $login = $call("POST", "enduser/enduserapi/emailPwdLogin", [], $form);
    check($login["accessToken"]["expirationTime"] > time(), "the token has not expired");
    $headers["Authorization"] = $login["accessToken"]["token"];
    $device = ["pk" => getenv("QUECTEL_PK"), "sn" => getenv("QUECTEL_SN")];
    ["pk" => $pk, "dk" => $dk] = $call("POST", "binding/enduserapi/bindDeviceSn", $device + ["isCommonDevice" => "true", "capabilitiesBitmask" => 3]);
    $device = ["pk" => $pk, "dk" => $dk];
    $call("PUT", "enduser/enduserapi/setDeviceInfo", $device + ["deviceName" => "Küche"]);
    $shown = $call("GET", "enduser/enduserapi/getDeviceBindingInfo", $device);
    check([$shown["deviceName"], $shown["capabilitiesBitmask"]] === ["Küche", 3], "device");
    check(strlen(base64_decode($call("POST", "enduser/enduserapi/getAuthKey", [], $device)["authKey"], true)) === 16, "authKey");
    $tsl = $call("GET", "enduser/enduserapi/productTSL", ["pk" => $pk]);
    check(json_decode($tsl["tslJson"], true)["properties"] === $tsl["properties"], "TSL");
    check($call("GET", "binding/enduserapi/userDeviceList", ["pkList" => $pk, "deviceName" => "küche"])["total"] === 1, "list");
    check($call("DELETE", "enduser/enduserapi/unbundlingDeviceDk", $device)["bindingSum"] === 0, "unbound");
    try {
        $call("DELETE", "binding/enduserapi/unbundlingDeviceDk", $device);
    } catch (RuntimeException $error) {
        $refused = $error->getCode();
    }
    check($refused === 5052, "Device not bound");
}

function remoteit(): void
{
    $headers = ["developerkey" => getenv("REMOTEIT_DEVELOPER_KEY")];
    $call = function (string $method, string $path, ?array $json = null) use (&$headers): array {
        return ask($method, "/apv/v27$path", $headers, $json);
    };
    $login = $call("POST", "/user/login", ["username" => getenv("REMOTEIT_USERNAME"), "password" => getenv("REMOTEIT_PASSWORD")]);
    $headers["token"] = $login["token"];
    $devices = $call("GET", "//device/list/all")["devices"];
    [$ssh] = array_values(array_filter($devices, fn ($device) => str_starts_with($device["devicetype"], "00:1C:")));
    $octets = explode(":", $ssh["devicetype"]);
    check(hexdec($octets[10] . $octets[11]) === 22, "port of the service");
    check(base64_decode($ssh["localurl"]) === "none" && strtotime($ssh["lastcontacted"]) <= time(), "service");
    $address = $ssh["deviceaddress"];
    $connect = ["deviceaddress" => strtolower($address), "wait" => 1, "hostip" => "0.0.0.0"];
    $answer = $call("POST", "/device/connect", $connect);
    $reached = parse_url($answer["connection"]["proxy"]);
    check([$reached["host"], (string) $reached["port"]] === [$answer["connection"]["proxyserver"], $answer["connection"]["proxyport"]], "port");
    $page = ["deviceaddress" => array_column($devices, "deviceaddress", "servicetitle")["HTTP"]] + $connect;
    $text = json_encode($call("POST", "/device/connect", $page), JSON_UNESCAPED_SLASHES);
    check(preg_match('/(proxy[^\s":]+)/', $text, $found) === 1, "proxy");
    $page = $call("POST", "/device/connect", $page)["connection"];
    check(preg_match('/(proxy[^\s:]+)/', $page["proxy"], $found) === 1 && $found[1] === $page["proxyserver"], "host of the proxy");
    $answer = $call("POST", "/device/connect", $connect);
    $call("POST", "/device/connect/stop", ["deviceaddress" => $address, "connectionid" => $answer["connectionid"]]);
    $call("POST", "/device/name", ["deviceaddress" => $address, "devicealias" => "Büro"]);
    check($call("POST", "/device/find/by/name", ["devicename" => "BÜRO"])["length"] === 1, "found by name");
    $old = getenv("REMOTEIT_OLD_ADDRESS");
    check($call("POST", "/developer/device/delete/registered/$old")["status"] === "true", "deleted");
    check(!in_array($old, array_column($call("GET", "/device/list/all/")["devices"], "deviceaddress")), "no longer listed");
    check($call("POST", "/user/logout")["status"] === "true", "logged out");
}

function asseco(): void
{
    $customer = ["Authorization" => "bearer " . getenv("ASSECO_TOKEN")];
    $call = fn (string $method, string $path, ?array $json = null) => ask($method, "/v1/device/$path", $customer, $json);
    $id = "app-7f3e2d1c";
    $app = ["external-device-id" => $id, "external-device-id-kind" => "app-id", "operating-system" => "Android", "nickname" => "PHP"];
    check($call("POST", "owned-devices", $app + ["push-platform" => "apns", "push-handle" => "h"])["CreatedRecordStatus"] === "active", "active");
    $own = "owned-devices/$id";
    $shown = $call("GET", $own);
    check(is_string($shown["push-id"]) && new DateTime($shown["push-expiration-date"]) > new DateTime(), "push");
    $call("PUT", "$own/nickname/", ["nick-name" => "Phone"]);
    $call("POST", "$own/block");
    check(array_column($call("GET", "owned-devices?device-statuses=blocked")["devices"], "nickname") === ["Phone"], "blocked");
    $call("POST", "$own/unblock");
    foreach ($call("GET", "issued-devices?card-statuses=valid&sort-by=device-id&page=1&page-size=10")["devices"] as $card) {
        $call("PUT", "issued-devices/{$card["device-id"]}/nickname", ["nickname" => "Groceries"]);
        $card = $call("GET", "issued-devices/{$card["device-id"]}");
        check($card["nickname"] === "Groceries" && new DateTime($card["expiration-date"]) > new DateTime(), "card");
    }
    $call("POST", "$own/unregister");
}

function vodlix(): void
{
    $mac = "aa:bb:cc:dd:ee:04";
    check(ask("GET", "/api//base/configs", [])["data"]["device_management"] === 1, "device management");
    $device = ["mac_address" => $mac, "device_os" => "Roku", "device_version" => 11.5, "device_type" => "TV", "app_version" => 2, "app_name" => "A"];
    check(ask("POST", "/api/v2/device", [], null, http_build_query($device))["data"]["mac_address"] === $mac, "device");
    check(ask("POST", "/api/v2/device_check", [], ["mac_address" => "AABBCCDDEE04"])["data"]["ban_status"] === 0, "not banned");
    $screen = ["mac_address" => $mac, "current_screen" => "content_info", "content_id" => 42, "content_type" => "show"];
    check(ask("POST", "/api/v2/device_activity/", [], null, http_build_query($screen))["status"] === 200, "activity");
}

$argv[1]();
