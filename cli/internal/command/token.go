package command

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/nightshift/nightshift/cli/internal/view"
	"github.com/nightshift/nightshift/shared/api"
	"github.com/nightshift/nightshift/shared/client"
	"github.com/nightshift/nightshift/shared/fault"
	"github.com/nightshift/nightshift/shared/token"
	"github.com/spf13/cobra"
)

func (w World) token() *cobra.Command {
	cmd := w.listTokens("token")
	cmd.Long = `List the tokens of the installation, make one, or revoke one. It takes the root
token, which the gateway was started with, or one with the scope admin.`
	cmd.AddCommand(w.listTokens("list"), w.createToken(), w.revokeToken())
	return cmd
}

func (w World) listTokens(use string) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   use,
		Short: "List the tokens of the installation",
		Args:  arguments(),
		RunE: w.online(func(ctx context.Context, control *client.Client, _ []string) error {
			list, err := control.Tokens(ctx)
			switch {
			case err != nil:
				return err
			case asJSON:
				return w.printJSON(append([]api.Token{}, list...))
			case len(list) == 0:
				fmt.Fprintln(w.Stderr, "there is none but the root token; nightshift token create makes one")
				return nil
			}
			view.Tokens(w.Stdout, view.StyleOf(w.Stdout), list, time.Now())
			return nil
		}),
	}
	jsonFlag(cmd, &asJSON)
	return cmd
}

func (w World) createToken() *cobra.Command {
	var name, expires string
	var scopes, sites []string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "create",
		Short: "Make a token, and print its secret once",
		Long: `Make a token, and print its secret, which is shown this once and kept nowhere.

What it may do are its scopes:

  read     look at sites, deploys, functions, invocations, logs and schedules
  invoke   read, and trigger, retry, replay, cancel, backfill, pause and resume
  deploy   read, and deploy, publish, roll back, lock, and environment variables
  admin    everything, with tokens and the audit log

With --site it is for these sites only, and for it there are no others.`,
		Example: `  nightshift token create --name "CI of the shop" --scope deploy --site shop
  nightshift token create --name "on call" --scope read,invoke --expires 30d`,
		Args: arguments(),
		RunE: w.online(func(ctx context.Context, control *client.Client, _ []string) error {
			in := api.CreateToken{Name: name, Sites: sites}
			for _, scope := range scopes {
				in.Scopes = append(in.Scopes, token.Scope(scope))
			}
			var err error
			if in.ExpiresAt, err = expiry(expires, time.Now()); err != nil {
				return err
			}
			if err := (token.Token{Name: in.Name, Scopes: in.Scopes}).Check(); err != nil { // before anything is asked
				return fault.Wrap(err, fault.Invalid, "%s; see nightshift token create --help", message(err))
			}
			made, err := control.CreateToken(ctx, in)
			switch {
			case err != nil:
				return err
			case asJSON:
				return w.printJSON(made)
			}
			ends := "never ends"
			if made.ExpiresAt != nil {
				ends = "ends " + made.ExpiresAt.Format(time.RFC3339)
			}
			fmt.Fprintf(w.Stderr, "token %s (%s) is made and %s; this is its secret, which is not shown again:\n", made.ID, view.Clean(made.Name), ends)
			fmt.Fprintln(w.Stdout, made.Secret)
			return nil
		}),
	}
	flags := cmd.Flags()
	flags.StringVar(&name, "name", "", "what it is for, for `people`")
	flags.StringSliceVar(&scopes, "scope", nil, "what it may do: `scopes` read, invoke, deploy, admin")
	flags.StringSliceVar(&sites, "site", nil, "`names` of the sites that it is for, also such that are not there yet (default: all)")
	flags.StringVar(&expires, "expires", "90d", "`when` it ends: 90d, 12h, an instant like 2030-01-31T08:00:00Z, or never")
	jsonFlag(cmd, &asJSON)
	return cmd
}

// expiry reads when a token ends; nil is never.
func expiry(text string, now time.Time) (*time.Time, error) {
	if text == "never" {
		return nil, nil
	}
	if at, err := time.Parse(time.RFC3339, text); err == nil {
		return &at, nil
	}
	in, err := time.ParseDuration(text)
	if days, ok := strings.CutSuffix(text, "d"); ok {
		var n int
		n, err = strconv.Atoi(days)
		in = time.Duration(n) * 24 * time.Hour
	}
	if err != nil || in <= 0 {
		return nil, fault.New(fault.Invalid, "--expires is %q; write how long it lasts, like 90d or 12h, an instant like 2030-01-31T08:00:00Z, or never", text)
	}
	at := now.Add(in).UTC().Truncate(time.Second)
	return &at, nil
}

func (w World) revokeToken() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "revoke ID…",
		Short: "Revoke tokens: they are refused from the next request on",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return fault.New(fault.Invalid, "nightshift token revoke needs the ID of a token; nightshift token list has them")
			}
			return nil
		},
		RunE: w.online(func(ctx context.Context, control *client.Client, ids []string) error {
			for _, id := range ids {
				if err := control.RevokeToken(ctx, id); err != nil {
					return err
				}
				if !asJSON {
					fmt.Fprintf(w.Stdout, "%s is revoked\n", id)
				}
			}
			if asJSON {
				return w.printJSON(struct {
					Revoked []string `json:"revoked"`
				}{ids})
			}
			return nil
		}),
	}
	jsonFlag(cmd, &asJSON)
	return cmd
}
