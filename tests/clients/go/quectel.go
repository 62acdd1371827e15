package main

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/md5"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"strings"
)

// answer is the envelope of quectel.
type answer[T any] struct {
	Code   whole `json:"code"`
	Msg    text  `json:"msg"`
	ExtMsg text  `json:"extMsg"`
	Data   T     `json:"data"`
}

type tokens struct {
	AccessToken, RefreshToken struct {
		Token          text
		ExpirationTime whole
	}
}

func quectel() {
	random, email := "GoGoGoGo00000000", os.Getenv("QUECTEL_EMAIL")
	key := strings.ToUpper(fmt.Sprintf("%x", md5.Sum([]byte(random))))[8:24]
	block, err := aes.NewCipher([]byte(key))
	check(err)
	password := []byte(os.Getenv("QUECTEL_PASSWORD"))
	fill := 16 - len(password)%16
	password = append(password, bytes.Repeat([]byte{byte(fill)}, fill)...)
	cipher.NewCBCEncrypter(block, []byte(key[8:]+key[:8])).CryptBlocks(password, password)
	pwd := base64.StdEncoding.EncodeToString(password)
	signature := fmt.Sprintf("%x", sha256.Sum256([]byte(email+pwd+random+os.Getenv("QUECTEL_DOMAIN_SECRET"))))
	form := url.Values{"email": {email}, "pwd": {pwd}, "random": {random}, "userDomain": {os.Getenv("QUECTEL_USER_DOMAIN")}, "signature": {signature}}

	const users, devices = "/v2/enduser/enduserapi/", "/v2/binding/enduserapi/"
	var login answer[tokens]
	call("POST", users+"emailPwdLogin", nil, form, 200, &login)
	user := headers{"Authorization": string(login.Data.AccessToken.Token)}
	var renewed answer[tokens]
	call("PUT", users+"refreshToken", nil, url.Values{"refreshToken": {string(login.Data.RefreshToken.Token)}}, 200, &renewed)
	user["Authorization"] = "Bearer " + string(renewed.Data.AccessToken.Token)

	var bound answer[struct{ PK, DK, AuthKey, ModuleType text }]
	call("POST", devices+"bindDeviceSn?pk="+os.Getenv("QUECTEL_PK")+"&sn="+os.Getenv("QUECTEL_SN"), user, nil, 200, &bound)
	must(bound.Code == 200, "%+v", bound)
	device := "?pk=" + string(bound.Data.PK) + "&dk=" + string(bound.Data.DK)

	var list answer[struct {
		Total, PageNum, Pages whole
		IsLastPage            bool
		List                  []struct {
			ProductKey, DeviceKey, DeviceName, ProductName, SN, AuthKey, DeviceStatus, DeviceBindTime          text
			OnlineStatus, DeviceType, BindMode, BindStatus, BindingType, CapabilitiesBitmask, DeviceBindTimeTs whole
			ShareCode, Fid                                                                                     *string
		}
	}]
	call("GET", devices+"userDeviceList?page=1&pageSize=100", user, nil, 200, &list)
	must(list.Data.Total == whole(len(list.Data.List)) && list.Data.IsLastPage, "%+v", list)
	var online answer[struct{ Online, Value whole }]
	call("GET", devices+"getDeviceOnlineStatus"+device, user, nil, 200, &online)
	must(online.Code == 200 && online.Data.Online == 0, "%+v", online)

	var product answer[struct{ TslJSON text }]
	call("GET", devices+"productTSL"+device, user, nil, 200, &product)
	var model struct {
		Properties []struct {
			ID, Sort                            whole
			Code, Name, Type, DataType, SubType text
			Specs                               json.RawMessage
		}
		Services, Events []any
	}
	check(json.Unmarshal([]byte(product.Data.TslJSON), &model))
	must(len(model.Properties) == 2, "%+v", model)
	var attributes answer[struct {
		CustomizeTslInfo []struct{ ResourceCode, ResourceValce, DataType, SubType text }
		DeviceData       *struct{ Battery text }
	}]
	call("GET", devices+"getDeviceBusinessAttributes"+device+"&type=1,2", user, nil, 200, &attributes)
	must(attributes.Code == 200 && attributes.Data.CustomizeTslInfo != nil, "%+v", attributes)
	type target struct {
		ProductKey text `json:"productKey"`
		DeviceKey  text `json:"deviceKey"`
	}
	command := map[string]any{"type": 2, "data": `[{"brightness":40}]`, "deviceList": []target{{bound.Data.PK, bound.Data.DK}}}
	var outcome answer[struct {
		SuccessList []struct{ Ticket text }
		FailureList []struct {
			Data target
			Msg  text
		}
	}]
	call("POST", devices+"batchControlDevice", user, command, 200, &outcome)
	must(len(outcome.Data.FailureList) == 1 && outcome.Data.FailureList[0].Msg == "Device offline", "%+v", outcome)
	var unbound answer[struct{ BindingSum whole }]
	call("DELETE", devices+"unbundlingDeviceDk"+device, user, nil, 200, &unbound)
	must(unbound.Code == 200, "%+v", unbound)
	var refused answer[*tokens]
	call("PUT", users+"refreshToken?refreshToken=expired", nil, nil, 200, &refused)
	must(refused.Code == 5032 && refused.Data == nil, "%+v", refused)
}
