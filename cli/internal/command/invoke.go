package command

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/nightshift/nightshift/cli/internal/near"
	"github.com/nightshift/nightshift/cli/internal/view"
	"github.com/nightshift/nightshift/shared/api"
	"github.com/nightshift/nightshift/shared/client"
	"github.com/nightshift/nightshift/shared/fault"
	"github.com/nightshift/nightshift/shared/function"
	"github.com/nightshift/nightshift/shared/invocation"
	"github.com/spf13/cobra"
)

func (w World) invoke() *cobra.Command {
	var payload, site string
	var wait, asJSON bool
	cmd := &cobra.Command{
		Use:   "invoke NAME",
		Short: "Call a function",
		Long: `Call a function of a site's published deploy with a POST.

The answer of a sync function is printed. Of a background function the ID of the
invocation is printed, and with --wait, once it is finished, its result.

With --json it is the answer with its "status", "headers" and "body" (in base64
if "base64" says so), the "id" of the invocation, or with --wait the whole
invocation.`,
		Args: arguments("the NAME of a function"),
		RunE: w.online(func(ctx context.Context, control *client.Client, args []string) error {
			body, contentType, err := w.payload(payload)
			if err != nil {
				return err
			}
			target, err := find(ctx, control, site, args[0])
			if err != nil {
				return err
			}
			return w.call(ctx, control, target, body, contentType, wait, asJSON)
		}),
	}
	flags := cmd.Flags()
	flags.StringVar(&payload, "payload", "", "`JSON` to send, or @FILE with the body (@- is standard input)")
	flags.BoolVar(&wait, "wait", false, "wait for the result of a background function")
	siteFlag(cmd, &site)
	jsonFlag(cmd, &asJSON)
	return cmd
}

// payload reads --payload.
func (w World) payload(text string) (body []byte, contentType string, err error) {
	name, isFile := strings.CutPrefix(text, "@")
	switch {
	case text == "":
		return nil, "", nil
	case !isFile:
		body = []byte(text)
		if !json.Valid(body) {
			return nil, "", fault.New(fault.Invalid, "--payload is not JSON; quote it for your shell, as in --payload '{\"to\":\"a@example.com\"}', or name a file: --payload @FILE")
		}
	case name == "-":
		body, err = io.ReadAll(w.Stdin)
	default:
		body, err = os.ReadFile(name)
	}
	if err != nil {
		return nil, "", fault.New(fault.Invalid, "the payload cannot be read: %v", err)
	}
	if json.Valid(body) {
		return body, "application/json", nil
	}
	return body, "application/octet-stream", nil
}

// find looks a function up and says which ones there are if it is not there.
func find(ctx context.Context, control *client.Client, site, name string) (api.Function, error) {
	list, err := control.Functions(ctx, site)
	if err != nil {
		return api.Function{}, err
	}
	var names []string
	for _, f := range list {
		if f.Name == name {
			if len(f.URLs) == 0 {
				return f, fault.New(fault.Conflict, "%s is %s, so only its schedule calls it; under `nightshift dev` a POST to its URL does too", name, f.Kind)
			}
			return f, nil
		}
		names = append(names, f.Name)
	}
	if len(names) == 0 {
		return api.Function{}, fault.New(fault.NotFound, "the site %s has no functions; deploy some with nightshift deploy --prod", site)
	}
	return api.Function{}, fault.New(fault.NotFound, "the site %s has no function %q; %s", site, name, didYouMean(near.To(name, names), "it has "+some(names)))
}

// data calls functions. Names below .localhost are this machine, whether or
// not its resolver knows.
func data() *http.Client {
	dialer := &net.Dialer{Timeout: 5 * time.Second}
	return &http.Client{
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{
			Proxy:             http.ProxyFromEnvironment,
			DisableKeepAlives: true,
			DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
				if host, port, err := net.SplitHostPort(addr); err == nil && (host == "localhost" || strings.HasSuffix(host, ".localhost")) {
					addr = net.JoinHostPort("127.0.0.1", port)
				}
				return dialer.DialContext(ctx, network, addr)
			},
		},
	}
}

// call sends the request and prints what comes back.
func (w World) call(ctx context.Context, control *client.Client, f api.Function, body []byte, contentType string, wait, asJSON bool) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, f.URLs[0], bytes.NewReader(body))
	if err != nil {
		return fault.Wrap(err, fault.Invalid, "the URL %s of %s cannot be called", f.URLs[0], f.Name)
	}
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	resp, err := data().Do(req)
	if err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return fault.Wrap(err, fault.Unavailable, "%s does not answer; is the data plane reachable from here?", originOf(f.URLs[0]))
	}
	defer resp.Body.Close()
	location := resp.Header.Get("Location")
	if f.Kind == function.Background && resp.StatusCode == http.StatusAccepted && location != "" {
		return w.accepted(ctx, control, path.Base(location), wait, asJSON)
	}
	if asJSON {
		return w.answered(f, resp)
	}
	fmt.Fprintln(w.Stderr, view.StyleOf(w.Stderr).Dim(resp.Status))
	if _, err := io.Copy(w.Stdout, resp.Body); err != nil {
		return fault.Wrap(err, fault.BadGateway, "the answer of %s broke off", f.Name)
	}
	if resp.StatusCode >= 400 {
		return errReported
	}
	return nil
}

// answer is the document of a call that was answered by its function.
type answer struct {
	Status  int                 `json:"status"`
	Headers map[string][]string `json:"headers"`
	Body    string              `json:"body"`
	Base64  bool                `json:"base64,omitempty"`
}

// answered prints it.
func (w World) answered(f api.Function, resp *http.Response) error {
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return fault.Wrap(err, fault.BadGateway, "the answer of %s broke off", f.Name)
	}
	document := answer{Status: resp.StatusCode, Headers: resp.Header, Body: string(body)}
	if !utf8.Valid(body) {
		document.Body, document.Base64 = base64.StdEncoding.EncodeToString(body), true
	}
	if err := w.printJSON(document); err != nil {
		return err
	}
	if resp.StatusCode >= 400 {
		return errReported
	}
	return nil
}

func originOf(raw string) string {
	u, err := url.Parse(raw)
	if err != nil {
		return raw
	}
	return u.Scheme + "://" + u.Host
}

// accepted follows a background call.
func (w World) accepted(ctx context.Context, control *client.Client, id string, wait, asJSON bool) error {
	if !wait && asJSON {
		return w.printJSON(api.Accepted{ID: id})
	}
	if !wait {
		fmt.Fprintln(w.Stdout, id)
		return nil
	}
	style := view.StyleOf(w.Stderr)
	fmt.Fprintln(w.Stderr, style.Dim("invocation "+id))
	var inv api.Invocation
	var told invocation.State
	for {
		var err error
		if inv, err = control.Invocation(ctx, id); err != nil {
			return err
		}
		if inv.State != told {
			told = inv.State
			fmt.Fprintln(w.Stderr, style.Dim(progress(inv)))
		}
		if inv.State.Terminal() {
			break
		}
		if err := pause(ctx); err != nil {
			return err
		}
	}
	if asJSON {
		if err := w.printJSON(inv); err != nil {
			return err
		}
	}
	if inv.State != invocation.Succeeded {
		fmt.Fprintf(w.Stderr, "its log: nightshift logs %s\n", id)
		return errReported
	}
	if asJSON {
		return nil
	}
	return w.result(inv)
}

// progress words where an invocation stands.
func progress(inv api.Invocation) string {
	text := string(inv.State)
	if len(inv.Attempts) == 0 {
		return text
	}
	last := inv.Attempts[len(inv.Attempts)-1]
	if last.Error != nil {
		text += fmt.Sprintf(": attempt %d ended with %s: %s", last.Number, last.Outcome, last.Error.Message)
	}
	if inv.State == invocation.Failed && inv.NextAttemptAt != nil {
		text += "; the next attempt is at " + inv.NextAttemptAt.Local().Format(time.TimeOnly)
	}
	return text
}

// result prints what the function returned.
func (w World) result(inv api.Invocation) error {
	if inv.Result == nil {
		return nil
	}
	body := []byte(inv.Result.Body)
	if inv.Result.Base64 {
		decoded, err := base64.StdEncoding.DecodeString(inv.Result.Body)
		if err != nil {
			return fault.Wrap(err, fault.BadGateway, "the result of %s cannot be read", inv.ID)
		}
		body = decoded
	}
	fmt.Fprintln(w.Stderr, view.StyleOf(w.Stderr).Dim(fmt.Sprintf("%d %s", inv.Result.Status, http.StatusText(inv.Result.Status))))
	_, err := w.Stdout.Write(body)
	return err
}
