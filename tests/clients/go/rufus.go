package main

import (
	"os"
	"time"
)

func rufus() {
	type device struct {
		DeviceID     text      `json:"deviceid"`
		Model        text      `json:"model"`
		SerialNumber text      `json:"serial_number"`
		Alias        *string   `json:"alias"`
		CreationDate time.Time `json:"creation_date"`
	}
	key := headers{"api_key": os.Getenv("RUFUS_API_KEY")}
	var bound device
	call("POST", "/v0/devices/", key, map[string]any{"model": "Client", "serial_number": "GO-1"}, 201, &bound)
	path := "/v0/devices/" + string(bound.DeviceID)
	var shown struct{ Result device }
	call("GET", path, key, nil, 200, &shown)
	must(shown.Result.Alias == nil && !shown.Result.CreationDate.IsZero(), "%+v", shown)
	var session struct {
		Token text `json:"token_session"`
	}
	call("POST", "/v0/sessions", key, map[string]any{"deviceid": bound.DeviceID}, 201, &session)
	passings := []map[string]any{{"timestamp": time.Now(), "num_passing": 1, "bib": "9"}}
	call("POST", "/v0/passings", key, map[string]any{"token_session": session.Token, "passings_list": passings}, 201, nil)
	var listed struct {
		Result []struct {
			Timestamp  time.Time
			NumPassing whole `json:"num_passing"`
			Bib        text
		}
		Pagination struct{ Cursor *string }
	}
	call("GET", path+"/passings?limit=10", key, nil, 200, &listed)
	must(len(listed.Result) == 1 && listed.Pagination.Cursor == nil && listed.Result[0].Bib == "9", "%+v", listed)
	call("DELETE", path, headers{"x-api-key": os.Getenv("RUFUS_UNBIND_KEY")}, nil, 200, nil)
	call("GET", path, key, nil, 404, nil)
}
