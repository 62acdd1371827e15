package main

import (
	"os"
	"time"
)

func asseco() {
	const api, imei = "/v1/device/", "013003004567898"
	customer := headers{"Authorization": "bearer " + os.Getenv("ASSECO_TOKEN")}
	type owned struct {
		IMEI            text       `json:"imei"`
		CustomerID      text       `json:"customer-id"`
		Status          text       `json:"status"`
		Nickname        text       `json:"nickname"`
		OperatingSystem text       `json:"operating-system"`
		BrandName       *string    `json:"brand-name"`
		PushID          *string    `json:"push-id"`
		PushExpiration  *time.Time `json:"push-expiration-date"`
	}
	phone := map[string]string{"external-device-identifier": imei, "operating-system": "Android", "nickname": "Go", "brand-name": "B"}
	var created struct{ ID, CreatedRecordStatus text }
	call("POST", api+"owned-devices", customer, phone, 200, &created)
	must(created == struct{ ID, CreatedRecordStatus text }{imei, "active"}, "%+v", created)
	var problem struct {
		Problem, Message text
		Details          text
	}
	call("POST", api+"owned-devices", customer, phone, 440, &problem)
	must(problem.Problem == "imei-not-unique", "%+v", problem)
	var invalid struct {
		Errors []struct{ Tag, Error, Message text }
	}
	call("GET", api+"owned-devices?page-size=all", customer, nil, 400, &invalid)
	must(invalid.Errors[0].Tag == "page-size", "%+v", invalid)

	own := api + "owned-devices/" + imei
	handle := map[string]string{"push-platform": "apns", "pns-handle": "A1"}
	call("PUT", own+"/nickname", customer, map[string]string{"nickname": "Gopher"}, 204, nil)
	call("PUT", own+"/push-notification-handle", customer, handle, 204, nil)
	call("POST", own+"/block", customer, nil, 204, nil)
	call("POST", own+"/unblock", customer, nil, 204, nil)
	var shown owned
	call("GET", api+"devices/"+imei, customer, nil, 200, &shown)
	must(shown.Nickname == "Gopher" && shown.PushID != nil && shown.PushExpiration.After(time.Now()), "%+v", shown)
	var devices struct{ Devices []owned }
	call("GET", api+"owned-devices?device-statuses=active&page=1&page-size=50", customer, nil, 200, &devices)
	must(len(devices.Devices) > 0, "no devices")
	call("POST", own+"/unregister", customer, nil, 202, nil)

	type issued struct {
		DeviceID     text   `json:"device-id"`
		Kind         text   `json:"kind"`
		HolderID     text   `json:"holder-id"`
		Capabilities []text `json:"capabilities"`
		Status       text   `json:"status"`
		CardStatus   text   `json:"card-status"`
		Masked       text   `json:"masked-card-number"`
		Primary      bool   `json:"is-primary"`
	}
	var cards struct{ Devices []issued }
	call("GET", api+"issued-devices?sort-by=device-id&sort-order=asc", customer, nil, 200, &cards)
	for _, card := range cards.Devices {
		var one issued
		call("PUT", api+"issued-devices/"+string(card.DeviceID)+"/nickname", customer, map[string]string{"nickname": "Mine"}, 204, nil)
		call("GET", api+"issued-devices/"+string(card.DeviceID), customer, nil, 200, &one)
		must(one.DeviceID == card.DeviceID && len(one.Capabilities) > 0, "%+v", one)
	}
	var classifications struct {
		Items []struct {
			SchemaID text `json:"schema-id"`
		}
	}
	call("GET", api+"classifications", customer, nil, 200, &classifications)
	for _, item := range classifications.Items {
		var classification struct {
			Values []struct{ Literal, Description text }
		}
		call("GET", api+"classifications/"+string(item.SchemaID), customer, nil, 200, &classification)
		must(len(classification.Values) > 1, "%+v", classification)
	}
	call("GET", api+"owned-devices", nil, nil, 401, &problem)
}
