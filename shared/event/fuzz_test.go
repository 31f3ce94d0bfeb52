package event_test

import (
	"bytes"
	"encoding/json"
	"testing"

	"github.com/nightshift/nightshift/shared/event"
)

// FuzzReplay: what is no event is an error; the repetition of one is JSON that
// carries no ID but that of the new call, and repeating it changes nothing more.
func FuzzReplay(f *testing.F) {
	f.Add([]byte(`{"path":"/a","headers":{"x-nf-request-id":"old","a":"b"},"multiValueHeaders":{"x-nf-request-id":["old"]},"body":"{}"}`))
	f.Add([]byte(`{"headers":{"x-nf-request-id":"1","x-nf-request-id":"2"},"headers":{},"x":1e999}`))
	f.Add([]byte(`{"headers":[],"multiValueHeaders":null}`))
	f.Add([]byte(`{}{`))
	f.Fuzz(func(t *testing.T, data []byte) {
		repeated, err := event.Replay(data, again)
		if err != nil {
			return
		}
		if !json.Valid(repeated) && json.Valid(data) {
			t.Fatalf("%q is repeated as %q, which is not JSON", data, repeated)
		}
		twice, err := event.Replay(repeated, again)
		if err != nil || !bytes.Equal(twice, repeated) {
			t.Errorf("%q is repeated as %q, and that as %q, %v", data, repeated, twice, err)
		}
	})
}
