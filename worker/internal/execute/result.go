package execute

import (
	"encoding/base64"
	"errors"
	"io"
	"maps"
	"slices"
	"unicode/utf8"

	"github.com/nightshift/nightshift/shared/invocation"
	"github.com/nightshift/nightshift/worker/internal/pool"
)

// What a record keeps of a response.
const (
	maxBody    = 256 << 10 // bytes, before base64
	maxHeaders = 16 << 10  // bytes of names and values together
)

// readResult reads a response to its end, which is the end of the attempt, and
// keeps the beginning. The error is the attempt's.
func readResult(response *pool.Response) (*invocation.Result, error) {
	body, err := io.ReadAll(io.LimitReader(response.Body, maxBody+1))
	if err == nil {
		_, err = io.Copy(io.Discard, response.Body)
	}
	if err = errors.Join(err, response.Body.Close()); err != nil {
		return nil, err
	}
	result := &invocation.Result{Status: response.Status, Headers: keepHeaders(response.Header)}
	if len(body) > maxBody {
		body, result.Truncated = wholeRunes(body[:maxBody]), true
	}
	if utf8.Valid(body) {
		result.Body = string(body)
	} else {
		result.Body, result.Base64 = base64.StdEncoding.EncodeToString(body), true
	}
	return result, nil
}

// wholeRunes takes off the beginning of a character that a cut went through,
// so that text stays text.
func wholeRunes(b []byte) []byte {
	for i := len(b) - 1; i >= max(0, len(b)-utf8.UTFMax); i-- {
		if utf8.RuneStart(b[i]) {
			if !utf8.FullRune(b[i:]) {
				return b[:i]
			}
			break
		}
	}
	return b
}

// keepHeaders keeps the headers that fit, in the order of their names.
func keepHeaders(all map[string][]string) map[string][]string {
	kept := map[string][]string{}
	left := maxHeaders
	for _, name := range slices.Sorted(maps.Keys(all)) {
		size := len(name)
		for _, value := range all[name] {
			size += len(value)
		}
		if size > left {
			continue
		}
		left -= size
		kept[name] = all[name]
	}
	return kept
}
