package main

import (
	"os"
	"regexp"
	"strconv"
	"strings"
	"time"
)

func remoteit() {
	const api = "/apv/v27"
	user := headers{"developerkey": os.Getenv("REMOTEIT_DEVELOPER_KEY")}
	name := map[string]string{"username": os.Getenv("REMOTEIT_USERNAME"), "password": os.Getenv("REMOTEIT_PASSWORD")}
	var login struct {
		Status, Token, Guid text
		Expiration          whole `json:"auth_expiration"`
	}
	call("POST", api+"/user/login", user, name, 200, &login)
	user["token"] = string(login.Token)
	var list struct {
		Length  whole
		Devices []struct {
			DeviceAddress, DeviceAlias, DeviceState, DeviceType, DeviceLastIP, LastInternalIP, OwnerUsername, ServiceTitle text
			Shared, WebEnabled, LocalURL, GeoRegion, HardwareID                                                            text
			WebURI, WebViewerURL                                                                                           []*string
			LastContacted, CreateDate                                                                                      time.Time
			Scripting                                                                                                      bool
		}
	}
	call("GET", api+"/device/list/all", user, nil, 200, &list)
	must(int(list.Length) == len(list.Devices), "%+v", list)
	var address text
	for _, device := range list.Devices {
		if strings.HasPrefix(string(device.DeviceType), "00:1E:") {
			address = device.DeviceAddress
		}
	}
	var counts struct{ Mine, Active, Friends, Services, Registered, Activated whole }
	call("GET", api+"/device/count", user, nil, 200, &counts)
	must(counts.Services == list.Length, "%+v", counts)
	type connect struct {
		Address text `json:"deviceaddress"`
		ID      text `json:"connectionid,omitempty"`
		Wait    bool `json:"wait"`
	}
	var connected struct {
		Connection struct {
			DeviceAddress, ExpirationSec, Proxy, ProxyServer, ProxyPort, Requested, Status, ImageIntervalMS text
			RequestedAt                                                                                     time.Time
		}
		ConnectionID text
		Wait         bool
	}
	call("POST", api+"/device/connect", user, connect{Address: address, Wait: true}, 200, &connected)
	must(regexp.MustCompile(`(proxy\S*)`).MatchString(string(connected.Connection.Proxy)) && connected.Wait, "%+v", connected)
	_, err := strconv.Atoi(string(connected.Connection.ExpirationSec))
	check(err)
	call("POST", api+"//device/connect/stop", user, connect{Address: address, ID: connected.ConnectionID}, 200, nil)
	var refused struct{ Status, Reason, Code text }
	call("POST", api+"/device/connect/stop", user, connect{Address: address, ID: connected.ConnectionID}, 401, &refused)
	must(refused.Status == "false" && refused.Code == "GENERAL_ERROR", "%+v", refused)
}
