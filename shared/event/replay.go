package event

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
)

// ofTheCall are the platform's headers that differ between two calls of one
// request: which call it is, and which deploy it is for.
var ofTheCall = []string{"x-nf-request-id", "x-nf-deploy-id", "x-nf-deploy-published", "x-nf-deploy-context", "x-nf-branch"}

// publishedHeader says that the call was for what is published.
const publishedHeader = "x-nf-deploy-published"

// Replay makes the event of another call of the same request: request ID,
// deploy, context and branch are those of meta, and everything else is as it
// was, byte for byte, also who called and from where. Of meta it reads only
// those. Something that is not an event of this package is an error.
func Replay(original []byte, meta Meta) ([]byte, error) {
	members, err := readObject(original)
	if err != nil {
		return nil, fmt.Errorf("reading the event to repeat: %w", err)
	}
	var ours fields
	for _, h := range appendPlatformHeaders(nil, meta) {
		if slices.Contains(ofTheCall, h.name) {
			ours = append(ours, h)
		}
	}
	out := make([]byte, 0, len(original)+256)
	for i, m := range members {
		switch m.name {
		case "headers":
			m.value, err = replaced(m.value, ours, func(out []byte, values []string) []byte { return appendString(out, values[0]) })
		case "multiValueHeaders":
			m.value, err = replaced(m.value, ours, func(out []byte, values []string) []byte {
				return append(appendString(append(out, '['), values[0]), ']')
			})
		}
		if err != nil {
			return nil, fmt.Errorf("reading the %s of the event to repeat: %w", m.name, err)
		}
		out = appendMember(out, i, m.name)
		out = append(out, m.value...)
	}
	if len(members) == 0 {
		out = append(out, '{')
	}
	return append(out, '}'), nil
}

// Published reports whether an event is of a call of what was published, and
// not of a certain deploy.
func Published(event []byte) bool {
	var head struct {
		Headers map[string]string `json:"headers"`
	}
	return json.Unmarshal(event, &head) == nil && head.Headers[publishedHeader] != ""
}

// replaced is an object of headers with other headers of the call in it.
func replaced(object []byte, ours fields, appendValue func(out []byte, values []string) []byte) ([]byte, error) {
	members, err := readObject(object)
	if err != nil {
		return nil, err
	}
	var out []byte
	n := 0
	for _, m := range members {
		if slices.Contains(ofTheCall, m.name) {
			continue
		}
		out = append(appendMember(out, n, m.name), m.value...)
		n++
	}
	for _, h := range ours {
		out = appendValue(appendMember(out, n, h.name), h.values)
		n++
	}
	if n == 0 {
		out = append(out, '{')
	}
	return append(out, '}'), nil
}

// member is a name with a value that is left as it is.
type member struct {
	name  string
	value json.RawMessage
}

// readObject reads a JSON object in the order in which it is written.
func readObject(data []byte) ([]member, error) {
	dec := json.NewDecoder(bytes.NewReader(data))
	start, err := dec.Token()
	if err != nil {
		return nil, err
	}
	if start != json.Delim('{') {
		return nil, errors.New("it is not a JSON object")
	}
	var members []member
	for dec.More() {
		name, err := dec.Token()
		if err != nil {
			return nil, err
		}
		m := member{name: name.(string)} // the decoder accepts nothing else there
		if err := dec.Decode(&m.value); err != nil {
			return nil, err
		}
		members = append(members, m)
	}
	_, err = dec.Token()
	return members, err
}

// appendMember appends what stands before the value of the i-th member.
func appendMember(out []byte, i int, name string) []byte {
	before := byte(',')
	if i == 0 {
		before = '{'
	}
	return append(appendString(append(out, before), name), ':')
}
