package callback

import (
	"errors"
	"maps"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"code.dny.dev/ssrf"
	"github.com/nightshift/nightshift/shared/invocation"
)

// 127.0.0.1 is allowed; what listens on 127.0.0.2 must never hear from us,
// whatever leads there.
func TestNothingLeadsToWhereNobodyMayGo(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	inside := w.receiver(t, "127.0.0.2", nil)
	w.names.addresses["rebinds.example"] = []string{"93.184.216.34", "127.0.0.2"}
	w.names.addresses["v6.example"] = []string{"::1"}
	w.names.addresses["mapped.example"] = []string{"::ffff:127.0.0.2"}
	w.names.addresses["nat64.example"] = []string{"64:ff9b::7f00:2"}
	w.names.addresses["metadata.example"] = []string{"169.254.169.254"}
	w.names.addresses["local.example"] = []string{"fd00::1"}

	// Whoever asks before the request is told a public address.
	if ips, err := w.names.resolver().LookupNetIP(t.Context(), "ip4", "rebinds.example"); err != nil || ips[0] != netip.MustParseAddr("93.184.216.34") {
		t.Fatalf("the first answer = %v, %v", ips, err)
	}
	targets := map[string]struct{ url, says string }{
		"address":           {inside.url("127.0.0.2"), "refused"},
		"name":              {inside.url("private.example"), "refused"},
		"name that changes": {inside.url("rebinds.example"), "refused"},
		"IPv6":              {inside.url("v6.example"), "refused"},
		"IPv4-mapped name":  {inside.url("mapped.example"), "refused"},
		"IPv4-mapped":       {inside.url("[::ffff:127.0.0.2]"), "refused"},
		"NAT64":             {inside.url("nat64.example"), "refused"},
		"metadata":          {inside.url("metadata.example"), "refused"},
		"unique local":      {inside.url("local.example"), "refused"},
		"any address":       {inside.url("0.0.0.0"), "refused"},
		"decimal":           {inside.url("2130706434"), "looks like an address"},
		"octal":             {inside.url("0177.0.0.2"), "refused|looks like an address|looked up"},
		"octal end":         {inside.url("127.0.0.02"), "looks like an address"},
		"hexadecimal":       {inside.url("0x7f000002"), "looks like an address"},
		"user":              {"https://user:canary@127.0.0.1:" + inside.port + "/", "user name"},
		"http":              {"http://private.example:" + inside.port + "/", "refused"},
		"http, public":      {"http://93.184.216.34:" + inside.port + "/", "refused"},
		"unknown name":      {inside.url("nobody.example"), "looked up"},
	}
	redirects := map[string]string{}
	outside := w.receiver(t, "127.0.0.1", func(_ int, rw http.ResponseWriter, r *http.Request) {
		http.Redirect(rw, r, redirects[r.URL.Query().Get("to")], http.StatusTemporaryRedirect)
	})
	ids := map[string]string{}
	for name, target := range maps.Clone(targets) {
		redirects[name] = target.url
		ids[name] = w.end(t, target.url)
		redirected := "redirect to " + name
		targets[redirected] = struct{ url, says string }{says: target.says + "|redirect refused"}
		ids[redirected] = w.end(t, outside.url("receiver.example")+"&to="+strings.ReplaceAll(name, " ", "+"))
	}
	w.names.addresses["rebinds.example"] = []string{"127.0.0.2"} // for the redirect too
	run(t, w.deliverer(t, patient{w.Store}))
	for name, id := range ids {
		c := w.tried(t, id, 1)
		says := false
		for _, text := range strings.Split(targets[name].says, "|") {
			says = says || strings.Contains(c.Error, text)
		}
		if c.State != invocation.CallbackPending || !says || strings.Contains(c.Error, "canary") {
			t.Errorf("%s: callback = %+v, want one that says %q", name, c, targets[name].says)
		}
	}
	if n := inside.connections.Load(); n != 0 {
		t.Errorf("%d connections were made to where nobody may go", n)
	}
	if len(outside.got()) != len(targets)/2 {
		t.Errorf("%d redirects were asked for, want %d", len(outside.got()), len(targets)/2)
	}
}

func TestRedirects(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	end := w.receiver(t, "127.0.0.1", nil)
	var hops *receiver
	hops = w.receiver(t, "127.0.0.1", func(_ int, rw http.ResponseWriter, r *http.Request) {
		status := map[string]int{"/307": 307, "/308": 308, "/301": 301, "/302": 302, "/303": 303}[r.URL.Path]
		to := end.url("other.example")
		switch left := r.URL.Query().Get("left"); {
		case left != "":
			status, to = 308, "https://receiver.example:"+hops.port+"/hop?left="+left[1:]
			if left == "1" {
				to = end.url("other.example")
			}
		case r.URL.Path == "/http":
			status, to = 307, "http://other.example:"+end.port+"/"
		}
		rw.Header().Set("Location", to)
		rw.WriteHeader(status)
	})
	tests := map[string]struct {
		path string
		says string // empty: delivered
	}{
		"307 to another host": {"/307", ""},
		"308 to another host": {"/308", ""},
		"301":                 {"/301", "answered 301"},
		"302":                 {"/302", "answered 302"},
		"303":                 {"/303", "answered 303"},
		"to http":             {"/http", "does not lead to https"},
		"three":               {"/hop?left=111", ""},
		"four":                {"/hop?left=1111", "more than 3"},
	}
	ids := map[string]string{}
	for name, test := range tests {
		ids[name] = w.end(t, "https://receiver.example:"+hops.port+test.path)
	}
	run(t, w.deliverer(t, patient{w.Store}))
	delivered := 0
	for name, id := range ids {
		c := w.tried(t, id, 1)
		if says := tests[name].says; says == "" {
			delivered++
			if c.State != invocation.CallbackDelivered {
				t.Errorf("%s: callback = %+v, want delivered", name, c)
			}
		} else if c.State != invocation.CallbackPending || !strings.Contains(c.Error, says) {
			t.Errorf("%s: callback = %+v, want one that says %q", name, c, says)
		}
	}
	if len(end.got()) != delivered {
		t.Errorf("%d requests were led on, want %d", len(end.got()), delivered)
	}
	for _, g := range end.got() {
		verifies(t, g)
		if g.header.Get("Referer") != "" {
			t.Errorf("the next host is told where the request comes from: %s", g.header.Get("Referer"))
		}
	}
}

// http goes to networks that are allowed, and nowhere else.
func TestHTTPInsideAnAllowedNetwork(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	got := make(chan string, 1)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { got <- r.Header.Get("Webhook-Signature") })}
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(func() { _ = server.Close() })
	run(t, w.deliverer(t, patient{w.Store}))
	id := w.end(t, "http://receiver.example:"+strings.TrimPrefix(listener.Addr().String(), "127.0.0.1:")+"/")
	if c := w.tried(t, id, 1); c.State != invocation.CallbackDelivered || !strings.HasPrefix(<-got, "v1,") {
		t.Errorf("callback = %+v", c)
	}
}

// Nobody is trusted whose certificate is another's, and no proxy is asked.
func TestCertificates(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.names.addresses["stranger.example"] = []string{"127.0.0.1"}
	r := w.receiver(t, "127.0.0.1", nil)
	run(t, w.deliverer(t, patient{w.Store}))
	if c := w.tried(t, w.end(t, r.url("stranger.example")), 1); c.State != invocation.CallbackPending || !strings.Contains(c.Error, "certificate") {
		t.Errorf("callback = %+v, want one that says why the certificate is refused", c)
	}
	if len(r.got()) != 0 {
		t.Error("a receiver with another's certificate got the request")
	}
}

// TestMetadataOfCloudsIsRefused: what clouds answer to whoever asks from a machine
// of theirs, credentials among it, in all the ways to write its address.
func TestMetadataOfCloudsIsRefused(t *testing.T) {
	t.Parallel()
	client := newClient(nil, net.DefaultResolver, nil)
	client.Timeout = 5 * time.Second
	defer client.CloseIdleConnections()
	for _, addr := range []string{
		"169.254.169.254", "169.254.170.2", "169.254.170.23", "[fd00:ec2::254]", "[fd00:ec2::23]", "168.63.129.16", "100.100.100.200", "192.0.0.192",
		"[::ffff:169.254.169.254]", "[64:ff9b::a9fe:a9fe]", "[2002:a9fe:a9fe::1]", "[fe80::a9fe:a9fe]",
	} {
		for _, scheme := range []string{"https", "http"} {
			req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, scheme+"://"+addr+"/latest/meta-data/", nil)
			if err != nil {
				t.Fatal(err)
			}
			res, err := client.Do(req)
			if err == nil {
				res.Body.Close()
			}
			if !errors.Is(err, ssrf.ErrProhibitedIP) {
				t.Errorf("%s = %v, want it refused before it is connected to", req.URL, err)
			}
		}
	}
}
