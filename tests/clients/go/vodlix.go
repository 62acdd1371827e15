package main

import "net/url"

func vodlix() {
	type reply struct {
		Status, Timestamp whole
		Time              float64
		IP, Message       text
		Data              struct {
			MAC    text  `json:"mac_address"`
			Status whole `json:"status"`
			Ban    whole `json:"ban_status"`
		}
	}
	var configs struct {
		Data struct {
			Management whole `json:"device_management"`
		}
	}
	call("GET", "/api/base/configs", nil, nil, 200, &configs)
	must(configs.Data.Management == 1, "%+v", configs)
	player := map[string]string{"mac_address": "AABBCCDDEE05", "device_os": "tvOS", "device_version": "17", "device_type": "TV", "app_version": "3.1", "app_name": "A"}
	var added, checked reply
	call("POST", "/api/v2/device", nil, player, 200, &added)
	call("POST", "/api/v2/device_check", nil, url.Values{"mac_address": {"AABBCCDDEE05"}}, 200, &checked)
	must(added.Data == checked.Data && checked.Data.Ban == 0, "%+v", checked)
	call("POST", "/api/v2/device_activity", nil, map[string]string{"mac_address": "AABBCCDDEE05", "current_screen": "search"}, 200, nil)
	var refused struct {
		Code text `json:"error_code"`
		Data []any
	}
	call("POST", "/api/v2/device_check", nil, map[string]string{"mac_address": "AABBCCDDEEFF"}, 400, &refused)
	must(refused.Code == "device_not_found", "%+v", refused)
}
