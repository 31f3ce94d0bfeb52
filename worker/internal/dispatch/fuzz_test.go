package dispatch

import (
	"encoding/json"
	"net/http"
	"path"
	"testing"

	wire "github.com/nightshift/nightshift/shared/dispatch"
	"github.com/nightshift/nightshift/shared/fault"
)

// FuzzReadHead: the head of a call is refused as invalid, or names what can be a
// site, a deploy and a function, each of them one part of a path.
func FuzzReadHead(f *testing.F) {
	f.Add("01ARZ3NDEKTSV4RRFFQ69G5FAV", "shop", "0123456789abcdef01234567", "send", "e30=")
	f.Add("01ARZ3NDEKTSV4RRFFQ69G5FAV", "shop", "../../etc", "a/b", "")
	f.Add("81ARZ3NDEKTSV4RRFFQ69G5FAV", "a--b", "", "a", "e30")
	f.Fuzz(func(t *testing.T, id, site, deploy, function, clientContext string) {
		h := http.Header{}
		for name, value := range map[string]string{
			wire.HeaderInvocation: id, wire.HeaderSite: site, wire.HeaderDeploy: deploy, wire.HeaderFunction: function, wire.HeaderClientContext: clientContext,
		} {
			h.Set(name, value)
		}
		got, err := readHead(h)
		if err != nil {
			if !fault.Is(err, fault.Invalid) {
				t.Errorf("readHead(%v) = %v, want invalid", h, err)
			}
			return
		}
		if got.id != id || got.target.Site != site || got.target.Deploy != deploy || got.target.Function != function {
			t.Errorf("%v is read as %+v", h, got)
		}
		for _, part := range []string{got.id, got.target.Site, got.target.Deploy, got.target.Function} {
			if path.Join("/", part) != "/"+part || len(part) > 128 {
				t.Errorf("%v is taken, of which %q is no part of a path", h, part)
			}
		}
		if got.clientContext != "" && !json.Valid([]byte(got.clientContext)) {
			t.Errorf("the client context %q is taken", got.clientContext)
		}
	})
}
