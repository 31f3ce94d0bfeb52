package abuse

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"path"
	"strings"
	"testing"
	"time"

	"github.com/nightshift/nightshift/shared/api"
)

// canary stands in everything that is the victim's.
const canary = "canary-of-the-victim"

// The victim has a variable, files, and functions that write what they know to
// where functions can write, and wait with it.
var victim = map[string]string{
	"netlify.toml": "[build]\npublish = \"public\"\n", "public/private.txt": canary + " in a file",
	"netlify/functions/hello.mjs": "export default async () => new Response('hello of the victim')\n",
	"netlify/functions/hold-background.mjs": `import { writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
// ` + canary + ` in the code
export default async () => {
  const secret = process.env.SECRET
  writeFileSync(tmpdir() + '/kept.txt', 'canary-of-the-victim in a temporary file')
  console.log(secret.replace('value', 'log'))
  await new Promise((resolve) => setTimeout(resolve, 600_000))
}
`,
	"netlify/functions/old.js":      "exports.handler = async () => ({ statusCode: 200, body: 'old of the victim' })\n",
	"netlify/functions/nightly.mjs": "export default async () => {}\nexport const config = { schedule: '0 3 * * *' }\n",
}

// The attacker may deploy what it likes to its own site.
var attacker = map[string]string{
	"netlify.toml": "[build]\npublish = \"public\"\n",
	"public/_redirects": `/proxy/* http://victim.localhost/:splat 200
/record/:id /.nightshift/invocations/:id 200
/climb/* /../../:splat 200
/fn /.netlify/functions/hello 200
`,
	"netlify/functions/hello.mjs":          "export default async () => new Response('hello of the attacker')\n",
	"netlify/functions/job-background.mjs": "export default async () => {}\n",
}

// neighbours are an installation with both sites, on which the victim's job runs.
type neighbours struct {
	*installation
	victim string // its deploy
	job    string // invocation of the victim's that runs
}

func startNeighbours(t *testing.T, settings ...string) *neighbours {
	t.Helper()
	in := install(t, settings...)
	for _, site := range []string{"victim", "attacker"} {
		in.nightshift("sites", "create", site)
	}
	in.nightshift("env", "set", "SECRET", canary+" as a value", "--secret", "--site", "victim")
	n := &neighbours{installation: in, victim: in.deploy("victim", victim)}
	in.deploy("attacker", attacker)
	n.serves("victim", "hello", "hello of the victim")
	n.serves("attacker", "hello", "hello of the attacker")
	a := in.ask("POST", "http://victim.localhost/.netlify/functions/hold-background", nil, "Idempotency-Key: the same")
	if a.status != http.StatusAccepted {
		t.Fatalf("calling the victim's job: %d %s", a.status, a.body)
	}
	n.job = path.Base(a.header.Get("Location"))
	in.eventually(30*time.Second, func() error {
		if log := in.api(root, "GET", "/invocations/"+n.job+"/logs", nil); !strings.Contains(log.body, canary+" as a log") {
			return fmt.Errorf("the victim's log: %d %s", log.status, log.body)
		}
		return nil
	})
	return n
}

// Nothing of a site is found on the hosts of another one, by whatever trick with
// names, rules of its own, or IDs.
func TestASiteShowsNothingOfItsNeighbour(t *testing.T) {
	t.Parallel()
	n := startNeighbours(t)
	tricks := map[string]struct {
		url     string
		headers []string
	}{
		"its record":                    {url: "http://attacker.localhost/.nightshift/invocations/" + n.job},
		"its log":                       {url: "http://attacker.localhost/.nightshift/invocations/" + n.job + "/logs"},
		"its record on the default":     {url: "http://localhost/.nightshift/invocations/" + n.job},
		"its record by a rewrite":       {url: "http://attacker.localhost/record/" + n.job},
		"its file":                      {url: "http://attacker.localhost/private.txt"},
		"its file by a proxy rule":      {url: "http://attacker.localhost/proxy/private.txt"},
		"its file by climbing":          {url: "http://attacker.localhost/climb/victim/private.txt"},
		"its deploy as a preview":       {url: "http://" + n.victim + "--attacker.localhost/private.txt"},
		"its deploy as a branch":        {url: "http://victim--attacker.localhost/private.txt"},
		"forwarded host":                {url: "http://attacker.localhost/private.txt", headers: []string{"X-Forwarded-Host: victim.localhost", "Forwarded: host=victim.localhost", "X-Host: victim.localhost", "X-Original-Host: victim.localhost"}},
		"platform's headers":            {url: "http://attacker.localhost/private.txt", headers: []string{"X-Nf-Site-Id: victim", "X-Nf-Deploy-Id: " + n.victim}},
		"rewritten URL":                 {url: "http://attacker.localhost/", headers: []string{"X-Original-URL: /private.txt", "X-Rewrite-URL: http://victim.localhost/private.txt"}},
		"host with a user":              {url: "http://attacker.localhost/private.txt", headers: []string{"Host: victim.localhost@attacker.localhost"}},
		"its function by another's URL": {url: "http://attacker.localhost/.netlify/functions/old"},
	}
	for name, trick := range tricks {
		a := n.ask("GET", trick.url, nil, trick.headers...)
		if strings.Contains(a.body, canary) || strings.Contains(a.body, "of the victim") || strings.Contains(a.body, n.victim) || a.status == http.StatusOK && strings.Contains(trick.url, ".nightshift") {
			t.Errorf("%s: %s answers %d %.300s", name, trick.url, a.status, a.body)
		}
	}
	if a := n.ask("DELETE", "http://attacker.localhost/.nightshift/invocations/"+n.job, nil); a.status != http.StatusNotFound {
		t.Errorf("cancelling its job: %d %s", a.status, a.body)
	}

	// One key in two sites is two keys.
	a := n.ask("POST", "http://attacker.localhost/.netlify/functions/job-background", nil, "Idempotency-Key: the same")
	if a.status != http.StatusAccepted || a.header.Get("Idempotency-Replayed") != "" || path.Base(a.header.Get("Location")) == n.job {
		t.Errorf("the same key on another site: %d %v", a.status, a.header)
	}
}

// What the attacker's people can ask of the control plane tells nothing of the
// victim, and changes nothing of it.
func TestATokenOfASiteIsNothingToItsNeighbour(t *testing.T) {
	t.Parallel()
	n := startNeighbours(t)
	var made struct{ Secret string }
	n.decode(n.api(root, "POST", "/tokens", map[string]any{"name": "attacker", "scopes": []string{"read", "invoke", "deploy"}, "sites": []string{"attacker"}}), http.StatusCreated, &made)
	token := made.Secret
	var before api.Deploy
	n.decode(n.api(root, "GET", "/sites/victim/deploys/"+n.victim, nil), http.StatusOK, &before)
	for _, request := range []string{
		"GET /sites", "GET /sites/victim", "GET /sites/site_victim", "GET /sites/victim/deploys", "GET /sites/victim/functions", "GET /sites/victim/env",
		"GET /sites/victim/schedules", "GET /deploys/" + n.victim, "GET /sites/attacker/deploys/" + n.victim, "GET /invocations", "GET /invocations?site=victim",
		"GET /invocations/" + n.job, "GET /invocations/" + n.job + "/logs", "GET /workers", "GET /accounts", "GET /accounts/nightshift/env?site_id=victim",
		"POST /invocations/" + n.job + "/cancel", "POST /invocations/" + n.job + "/retry", "POST /invocations/" + n.job + "/replay",
		"POST /sites/victim/deploys", "POST /sites/victim/rollback", "POST /sites/victim/deploys/" + n.victim + "/restore", "POST /sites/attacker/deploys/" + n.victim + "/restore",
		"POST /deploys/" + n.victim + "/lock", "POST /deploys/" + n.victim + "/cancel", "PUT /deploys/" + n.victim + "/files/private.txt", "PUT /deploys/" + n.victim + "/functions/hello",
		"POST /sites/victim/schedules/nightly/trigger", "POST /sites/victim/schedules/nightly/pause", "DELETE /sites/victim/env/SECRET",
		"POST /tokens", "GET /tokens", "GET /audit", "GET /audit?site=victim",
	} {
		method, path, _ := strings.Cut(request, " ")
		var body any
		if method != "GET" {
			body = map[string]any{"name": "more", "scopes": []string{"admin"}}
		}
		a := n.api(token, method, path, body)
		if strings.Contains(a.body, canary) || strings.Contains(a.body, `"victim"`) || strings.Contains(a.body, n.victim+`"`) || strings.Contains(a.body, n.job+`"`) {
			t.Errorf("%s tells of the victim: %d %.300s", request, a.status, a.body)
		}
		if method != "GET" && a.status < 400 {
			t.Errorf("%s: %d %.300s", request, a.status, a.body)
		}
	}
	var after api.Deploy
	n.decode(n.api(root, "GET", "/sites/victim/deploys/"+n.victim, nil), http.StatusOK, &after)
	if fmt.Sprint(before) != fmt.Sprint(after) {
		t.Errorf("the victim's deploy was\n%+v\nand is\n%+v", before, after)
	}
	if inv := n.api(root, "GET", "/invocations/"+n.job, nil); !strings.Contains(inv.body, `"running"`) {
		t.Errorf("the victim's job: %s", inv.body)
	}

	// Its file is not the attacker's by its digest.
	content := victim["public/private.txt"]
	sum := sha256.Sum256([]byte(content))
	digest := hex.EncodeToString(sum[:])
	var mine api.Deploy
	n.decode(n.api(token, "POST", "/sites/attacker/deploys", map[string]any{
		"files": map[string]any{"stolen.txt": map[string]any{"digest": digest, "size": len(content)}},
	}), http.StatusCreated, &mine)
	if mine.State != "uploading" || len(mine.Required) != 1 {
		t.Errorf("a deploy with the victim's file is %s and needs %v", mine.State, mine.Required)
	}
	if a := n.api(token, "PUT", "/deploys/"+mine.ID+"/files/stolen.txt", []byte(strings.Repeat("x", len(content)))); a.status < 400 || a.status > 499 {
		t.Errorf("uploading something else under its digest: %d %s", a.status, a.body)
	}
	if a := n.ask("GET", "http://"+mine.ID+"--attacker.localhost/stolen.txt", nil); a.status != http.StatusNotFound || strings.Contains(a.body, canary) {
		t.Errorf("the stolen file: %d %s", a.status, a.body)
	}
}
