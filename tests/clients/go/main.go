// Clients in the style of Go programs: responses are decoded into typed members. A status other than expected, a null or
// a value of another type ends the client.
package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
)

// text is a string that is not null.
type text string

func (t *text) UnmarshalJSON(data []byte) error {
	if data[0] != '"' {
		return fmt.Errorf("%s is not a string", data)
	}
	return json.Unmarshal(data, (*string)(t))
}

// whole is an integer that is not null.
type whole int64

func (w *whole) UnmarshalJSON(data []byte) error {
	number, err := strconv.ParseInt(string(data), 10, 64)
	*w = whole(number)
	return err
}

type headers map[string]string

// call sends a request whose body is JSON, a form (url.Values) or nil, and decodes the response into reply, if any.
func call(method, path string, with headers, body any, want int, reply any) {
	var content io.Reader
	kind := "application/json"
	if form, ok := body.(url.Values); ok {
		content, kind = strings.NewReader(form.Encode()), "application/x-www-form-urlencoded"
	} else if body != nil {
		encoded, err := json.Marshal(body)
		check(err)
		content = bytes.NewReader(encoded)
	}
	request, err := http.NewRequest(method, os.Getenv("HOST")+path, content)
	check(err)
	request.Header.Set("Content-Type", kind)
	for name, value := range with {
		request.Header.Set(name, value)
	}
	response, err := http.DefaultClient.Do(request)
	check(err)
	defer response.Body.Close()
	data, err := io.ReadAll(response.Body)
	check(err)
	must(response.StatusCode == want, "%s %s: %d %s", method, path, response.StatusCode, data)
	if reply != nil {
		must(json.Unmarshal(data, reply) == nil, "%s %s: cannot decode %s into %T", method, path, data, reply)
	}
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}

func must(holds bool, format string, arguments ...any) {
	if !holds {
		panic(fmt.Sprintf(format, arguments...))
	}
}

func main() {
	map[string]func(){"rufus": rufus, "quectel": quectel, "remoteit": remoteit, "asseco": asseco, "vodlix": vodlix}[os.Args[1]]()
}
