package command

import (
	"context"
	"fmt"

	"github.com/nightshift/nightshift/cli/internal/view"
	"github.com/nightshift/nightshift/shared/api"
	"github.com/nightshift/nightshift/shared/client"
	"github.com/nightshift/nightshift/shared/fault"
	"github.com/nightshift/nightshift/shared/secret"
	"github.com/spf13/cobra"
)

func (w World) secretKey() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "secret-key",
		Short: "Print a new key for NIGHTSHIFT_SECRET_KEY, or replace one",
		Long: `Print a new key for NIGHTSHIFT_SECRET_KEY, which gateways and workers need to keep
environment variables. Keep a copy where you keep passwords: without it the
variables are lost.

To replace a key:

 1. Put the new one in front of the old one, with a comma between them. Restart
    all workers, then all gateways.
 2. nightshift secret-key reseal seals with the new one what there is.
 3. Leave the old one out, and restart them again.`,
		Args: arguments(),
		RunE: func(*cobra.Command, []string) error {
			key, err := secret.Generate()
			if err != nil {
				return err
			}
			if asJSON {
				return w.printJSON(struct {
					Key string `json:"key"`
				}{string(key)})
			}
			fmt.Fprintln(w.Stdout, string(key))
			return nil
		},
	}
	jsonFlag(cmd, &asJSON)
	cmd.AddCommand(w.secretKeyStatus(), w.secretKeyReseal())
	return cmd
}

func (w World) secretKeyStatus() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Show what each key has sealed, and which can be left out",
		Args:  arguments(),
		RunE: w.online(func(ctx context.Context, control *client.Client, _ []string) error {
			keys, err := control.SecretKeys(ctx)
			if err != nil {
				return err
			}
			return w.showKeys(keys, asJSON)
		}),
	}
	jsonFlag(cmd, &asJSON)
	return cmd
}

func (w World) secretKeyReseal() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "reseal",
		Short: "Seal with the first key what was sealed with others",
		Long: `Seal with the first key what was sealed with others: environment variables of all
sites, and the environments of all deploys. Functions run on meanwhile, variables
can be changed and deploys made. If it is stopped, do it again: it goes on.`,
		Args: arguments(),
		RunE: w.online(func(ctx context.Context, control *client.Client, _ []string) error {
			var resealed api.Sealed
			for {
				keys, err := control.Reseal(ctx)
				if err != nil {
					return err
				}
				resealed.Variables += keys.Resealed.Variables
				resealed.Deploys += keys.Resealed.Deploys
				switch {
				case keys.Resealed != api.Sealed{}: // also after the last one, in case something was sealed behind it
				case keys.Done:
					keys.Resealed = resealed
					return w.showKeys(keys, asJSON)
				default:
					return fault.New(fault.Conflict, "variables are being sealed with another key than the first one all the time: a gateway has the keys in another order; restart all gateways, and try again")
				}
				if !keys.Done {
					fmt.Fprintf(w.Stderr, "%s sealed anew so far\n", amount(resealed))
				}
			}
		}),
	}
	jsonFlag(cmd, &asJSON)
	return cmd
}

// showKeys prints what the keys are used for, and what follows from it.
func (w World) showKeys(keys api.SecretKeys, asJSON bool) error {
	if asJSON {
		return w.printJSON(keys)
	}
	if keys.Resealed != (api.Sealed{}) {
		fmt.Fprintf(w.Stdout, "%s %s\n", view.StyleOf(w.Stdout).Good("Sealed anew"), amount(keys.Resealed))
	}
	if len(keys.Keys) > 0 {
		view.Keys(w.Stdout, view.StyleOf(w.Stdout), keys.Keys)
	}
	switch {
	case len(keys.Keys) == 0:
		fmt.Fprintln(w.Stderr, "the gateway has no key; nightshift secret-key makes one for NIGHTSHIFT_SECRET_KEY")
	case !keys.Done:
		fmt.Fprintln(w.Stderr, "Keep all keys in NIGHTSHIFT_SECRET_KEY; nightshift secret-key reseal makes the first one do.")
	case len(keys.Keys) > 1:
		fmt.Fprintln(w.Stderr, "The first key is the only one that is needed; leave the others out of NIGHTSHIFT_SECRET_KEY.")
	}
	if keys.Unreadable != (api.Sealed{}) {
		fmt.Fprintf(w.Stderr, "%s cannot be opened with any of these keys: add the one that sealed them, or set the variables anew and deploy.\n", amount(keys.Unreadable))
	}
	return nil
}

func amount(s api.Sealed) string {
	return view.Count(s.Variables, "variable") + " and the environments of " + view.Count(s.Deploys, "deploy")
}
