package console

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"html/template"
	"io/fs"
	"net/http"
	"net/url"
	"path"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/nightshift/nightshift/gateway/internal/access"
	"github.com/nightshift/nightshift/gateway/internal/audit"
	"github.com/nightshift/nightshift/gateway/internal/session"
	"github.com/nightshift/nightshift/shared/deploy"
	"github.com/nightshift/nightshift/shared/fault"
	"github.com/nightshift/nightshift/shared/store"
	"github.com/nightshift/nightshift/shared/token"
)

//go:embed templates/*.html assets/*
var content embed.FS

// templates are the pages by name, each with the layout around it. They are parsed
// when the first page is asked for: they take more memory than anything else of an
// idle gateway, and many gateways never show one.
var templates = sync.OnceValue(parseTemplates)

func parseTemplates() map[string]*template.Template {
	layout := template.Must(template.New("layout.html").Funcs(funcs).ParseFS(content, "templates/layout.html", "templates/parts.html"))
	files, err := fs.Glob(content, "templates/*.html")
	if err != nil {
		panic(err)
	}
	pages := map[string]*template.Template{}
	for _, file := range files {
		if name := strings.TrimSuffix(path.Base(file), ".html"); name != "layout" && name != "parts" {
			pages[name] = template.Must(template.Must(layout.Clone()).ParseFS(content, file))
		}
	}
	return pages
}

// frame is what every page has around it. Views begin with one.
type frame struct {
	Title   string
	Section string // the entry of the navigation that the page belongs to
	Site    string // empty: the page is about the installation
	Sites   []string
	Flash   *flash
	Now     time.Time
	SignOut bool // there is a session to end
	Queues  string
	Bare    bool // no navigation: nobody has signed in
	// What they may do who look at it.
	AllSites, MayInvoke, MayDeploy, MayAdmin bool
}

func (f frame) chrome() frame { return f }

// newFrame makes a frame for somebody, without a site.
func (c *Console) newFrame(r *http.Request, title string) frame {
	who := access.From(r.Context())
	f := frame{
		Title: title, Now: time.Now().UTC(), SignOut: !c.Session.Open(),
		AllSites: !who.Bound(), MayInvoke: who.May(token.Invoke), MayDeploy: who.May(token.Deploy), MayAdmin: who.May(token.Admin),
	}
	if f.AllSites {
		f.Queues = c.Queues
	}
	return f
}

// frameOf makes the frame of a page, and refuses a site that is not there. The
// installation's own pages have no site.
func (c *Console) frameOf(w http.ResponseWriter, r *http.Request, section, title string) (frame, deploy.Site, error) {
	f := c.newFrame(r, title)
	f.Section = section
	var site deploy.Site
	if name := r.PathValue("site"); name != "" {
		var err error
		if site, err = c.Releases.Site(r.Context(), name); err != nil {
			return f, site, err
		}
		f.Site = site.Name
	}
	sites, err := c.Deploys.Sites(r.Context())
	if err != nil {
		return f, site, err
	}
	for _, s := range sites {
		if access.From(r.Context()).Sees(s.Name) {
			f.Sites = append(f.Sites, s.Name)
		}
	}
	f.Flash = takeFlash(w, r)
	return f, site, nil
}

// page makes a handler of one that may return an error, which becomes a page,
// for those who may see it.
func (c *Console) page(p page) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "no-store")
		r.Body = http.MaxBytesReader(w, r.Body, maxForm)
		noted := &answered{ResponseWriter: w}
		err := permitted(access.From(r.Context()), p.scope, r.PathValue("site"))
		if err == nil {
			err = p.handle(noted, r)
		}
		if err != nil {
			c.fail(noted, r, err)
		}
		if p.action != "" {
			_ = c.Audit.Write(r.Context(), c.entry(r, p.action, noted.status)) // it has been logged
		}
	})
}

// answered notes the status of an answer.
type answered struct {
	http.ResponseWriter
	status int
}

// WriteHeader is http.ResponseWriter.
func (a *answered) WriteHeader(status int) {
	a.status = status
	a.ResponseWriter.WriteHeader(status)
}

// Unwrap is for http.ResponseController.
func (a *answered) Unwrap() http.ResponseWriter { return a.ResponseWriter }

// entry is what a form has done, for the audit log.
func (c *Console) entry(r *http.Request, action string, status int) store.AuditEntry {
	e := audit.Entry(access.From(r.Context()), c.ClientIP(r), action)
	e.Site, e.Function, e.Status = r.PathValue("site"), r.PathValue("function"), status
	switch kind, _, _ := strings.Cut(action, "."); kind {
	case "deploy":
		e.Deploy = r.PathValue("id")
	case "invocation", "callback":
		e.Invocation = r.PathValue("id")
	}
	return e
}

// permitted is an error unless somebody has a scope, and a site is there for
// them; one that is not is so in the same words as one that is not there at all.
func permitted(who access.Who, scope token.Scope, site string) error {
	if err := who.Need(scope); err != nil {
		return err
	}
	if site != "" && !who.Sees(site) {
		return store.UnknownSite(site)
	}
	return nil
}

// maxForm bounds the body of a form, in bytes.
const maxForm = 64 << 10

// render sends a page.
func (c *Console) render(w http.ResponseWriter, status int, name string, view any) error {
	var buf bytes.Buffer
	if err := templates()[name].Execute(&buf, view); err != nil {
		return fault.Wrap(err, fault.Internal, "drawing the page %s", name)
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	_, _ = buf.WriteTo(w) // nobody is left to be told
	return nil
}

// errorView is the page of something that went wrong.
type errorView struct {
	frame
	Status  int
	Message string
	Advice  string
	Back    string // the page that the form was on
}

// fail answers with an error as a page.
func (c *Console) fail(w http.ResponseWriter, r *http.Request, err error) {
	kind := fault.KindOf(err)
	switch kind {
	case fault.Internal:
		c.log.Error("page not shown", "method", r.Method, "path", r.URL.Path, "error", err)
	case fault.Unavailable:
		c.log.Warn("page not shown", "method", r.Method, "path", r.URL.Path, "error", err)
	}
	message, retryAfter := fault.Public(err)
	if retryAfter > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(int((retryAfter+time.Second-1)/time.Second)))
	}
	view := errorView{
		frame:  c.newFrame(r, titleOf(kind)),
		Status: kind.HTTPStatus(), Message: sentence(message), Advice: adviceOf(kind),
	}
	view.Site = r.PathValue("site")
	if kind == fault.NotFound && !deploy.ValidSite(view.Site) {
		view.Site = ""
	}
	if r.Method == http.MethodPost {
		view.Back = backFrom(r)
	}
	if err := c.render(w, view.Status, "error", view); err != nil {
		c.log.Error("error not shown", "error", err)
		http.Error(w, message, view.Status)
	}
}

// sentence begins a message with a capital letter and ends it with a stop.
func sentence(text string) string {
	if text == "" {
		return ""
	}
	if first := text[0]; 'a' <= first && first <= 'z' {
		text = string(first-'a'+'A') + text[1:]
	}
	if !strings.HasSuffix(text, ".") {
		text += "."
	}
	return text
}

// backFrom is the page that a form was on; empty if that was not one of ours.
func backFrom(r *http.Request) string {
	from, err := url.Parse(r.Referer())
	if err != nil || from.Host != r.Host {
		return ""
	}
	return "/" + strings.TrimLeft(from.RequestURI(), "/") // never the name of a host
}

func titleOf(kind fault.Kind) string {
	switch kind {
	case fault.NotFound:
		return "Not found"
	case fault.Invalid, fault.TooLarge:
		return "That cannot be"
	case fault.Conflict:
		return "Not possible now"
	case fault.Forbidden:
		return "Not for your token"
	case fault.Throttled:
		return "Too much at once"
	case fault.Unavailable, fault.Timeout:
		return "Not available now"
	default:
		return "Something went wrong"
	}
}

// adviceOf is what to do about an error of a kind, beside what its message says.
func adviceOf(kind fault.Kind) string {
	switch kind {
	case fault.NotFound:
		return "Finished invocations are kept for a week and dead ones for thirty days, unless the installation says otherwise; deploys that nothing points at expire too."
	case fault.Forbidden:
		return "Sign out, and in again with a token that may."
	case fault.Conflict:
		return "Things may have moved on since the page was loaded. Load it again and look."
	case fault.Throttled, fault.Unavailable, fault.Timeout:
		return "Nothing is lost: what was accepted stays in Redis. Try again in a moment; /readyz says whether the gateway reaches Redis."
	case fault.Internal:
		return "The log of the gateway says what it was."
	default:
		return ""
	}
}

// nothing answers for paths that lead nowhere.
func (c *Console) nothing(_ http.ResponseWriter, r *http.Request) error {
	return fault.New(fault.NotFound, "there is no page at %.200s", r.URL.Path)
}

// signInView is the page with the form that takes the token.
type signInView struct {
	frame
	session.Form
}

func (c *Console) signIn(w http.ResponseWriter, r *http.Request, form session.Form) {
	view := signInView{frame{Title: "Sign in", Now: time.Now().UTC(), Bare: true}, form}
	if err := c.render(w, form.Status, "signin", view); err != nil {
		c.fail(w, r, err)
	}
}

// assets are the files beside the pages, by name, with a digest of each.
var assets = readAssets()

type assetFile struct {
	data    []byte
	kind    string
	version string
}

func readAssets() map[string]assetFile {
	entries, err := content.ReadDir("assets")
	if err != nil {
		panic(err)
	}
	kinds := map[string]string{".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml"}
	files := map[string]assetFile{}
	for _, e := range entries {
		data, err := content.ReadFile("assets/" + e.Name())
		if err != nil {
			panic(err)
		}
		sum := sha256.Sum256(data)
		files[e.Name()] = assetFile{data, kinds[path.Ext(e.Name())], hex.EncodeToString(sum[:6])}
	}
	return files
}

// assetURL names a file such that browsers may keep it for good.
func assetURL(name string) string { return "/assets/" + name + "?v=" + assets[name].version }

// asset sends a file.
func asset(w http.ResponseWriter, r *http.Request) {
	file, ok := assets[r.PathValue("name")]
	if !ok {
		http.NotFound(w, r)
		return
	}
	h := w.Header()
	h.Set("Content-Type", file.kind)
	h.Set("Cache-Control", "no-cache")
	if r.URL.Query().Get("v") == file.version {
		h.Set("Cache-Control", "public, max-age=31536000, immutable")
	}
	h.Set("Etag", `"`+file.version+`"`)
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(file.data))
}
