package command

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/nightshift/nightshift/cli/internal/view"
	"github.com/nightshift/nightshift/shared/api"
	"github.com/nightshift/nightshift/shared/client"
	"github.com/nightshift/nightshift/shared/environ"
	"github.com/nightshift/nightshift/shared/fault"
	"github.com/nightshift/nightshift/shared/secret"
	"github.com/spf13/cobra"
)

// nextDeploy is said after each change.
const nextDeploy = "Deploys that are there stay as they are; it takes effect with the next one."

func (w World) env() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "env",
		Short: "List and change the environment variables of a site",
		Long: `List and change the environment variables of a site.

A variable has a value for all deploys, or one for each context: production,
deploy-preview, branch-deploy, dev, or branch:NAME. A deploy gets the most exact
one, when it is made, and keeps it. Values are kept encrypted; the gateway needs
NIGHTSHIFT_SECRET_KEY for that (nightshift secret-key makes one).`,
		Args: arguments(),
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(w.envList(), w.envGet(), w.envSet(), w.envUnset(), w.envImport())
	return cmd
}

func (w World) envList() *cobra.Command {
	var site, in string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List the environment variables of a site; secrets are masked",
		Args:  arguments(),
		RunE: w.online(func(ctx context.Context, api *client.Client, _ []string) error {
			list, err := api.Variables(ctx, site)
			if err != nil {
				return err
			}
			if in != "" {
				if list, err = holding(list, in); err != nil {
					return err
				}
			}
			if asJSON {
				return w.printJSON(list)
			}
			if len(list) == 0 {
				fmt.Fprintf(w.Stderr, "site %s has no environment variables; nightshift env set makes one\n", site)
				return nil
			}
			view.Variables(w.Stdout, view.StyleOf(w.Stdout), variableRows(list))
			return nil
		}),
	}
	siteFlag(cmd, &site)
	cmd.Flags().StringVar(&in, "context", "", "list what a deploy of this `context` gets (production, deploy-preview, branch-deploy, dev, branch:NAME)")
	jsonFlag(cmd, &asJSON)
	return cmd
}

// holding keeps of each variable the value that holds in a context.
func holding(list []api.Variable, in string) ([]api.Variable, error) {
	at, err := contextOf(in)
	if err != nil {
		return nil, err
	}
	out := []api.Variable{}
	for _, v := range list {
		if value, ok := valueIn(v, at); ok {
			v.Values = []api.VariableValue{value}
			out = append(out, v)
		}
	}
	return out, nil
}

// valueIn is the value of a variable that a deploy gets.
func valueIn(v api.Variable, at environ.Value) (api.VariableValue, bool) {
	deployContext := at.Context
	if at.Context == environ.Branch {
		deployContext = environ.BranchDeploy
	}
	value, ok := v.Domain().In(deployContext, at.Parameter)
	return api.VariableValue{ID: value.ID(), Context: value.Context, ContextParameter: value.Parameter, Value: value.Value}, ok
}

func variableRows(list []api.Variable) []view.Variable {
	var rows []view.Variable
	for _, v := range list {
		row := view.Variable{Key: v.Key, Secret: v.IsSecret}
		for _, value := range v.Values {
			row.Values = append(row.Values, [2]string{wordContext(value.Domain()), string(value.Value)})
		}
		rows = append(rows, row)
	}
	return rows
}

func (w World) envGet() *cobra.Command {
	var site, in string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "get KEY",
		Short: "Print the value that a deploy gets; not that of a secret",
		Args:  arguments("the name of a variable"),
		RunE: w.online(func(ctx context.Context, api *client.Client, args []string) error {
			at, err := contextOf(in)
			if err != nil {
				return err
			}
			v, err := api.Variable(ctx, site, args[0])
			if err != nil {
				return err
			}
			value, ok := valueIn(v, at)
			switch {
			case !ok:
				return fault.New(fault.NotFound, "%s has no value for %s; nightshift env list shows what it has", v.Key, wordContext(at))
			case v.IsSecret && value.Value == environ.Mask:
				return fault.New(fault.Forbidden, "%s is a secret: its value is for functions only, and is not sent to anybody", v.Key)
			case asJSON:
				return w.printJSON(map[string]secret.Text{v.Key: value.Value})
			}
			fmt.Fprintln(w.Stdout, string(value.Value))
			return nil
		}),
	}
	siteFlag(cmd, &site)
	cmd.Flags().StringVar(&in, "context", environ.Production, "`context` of the deploy (production, deploy-preview, branch-deploy, dev, branch:NAME)")
	jsonFlag(cmd, &asJSON)
	return cmd
}

// contextOf reads a context as people write it.
func contextOf(text string) (environ.Value, error) {
	if branch, ok := strings.CutPrefix(text, "branch:"); ok && branch != "" {
		return environ.Value{Context: environ.Branch, Parameter: branch}, nil
	}
	known := []string{environ.All, environ.Production, environ.DeployPreview, environ.BranchDeploy, environ.Dev}
	if !slices.Contains(known, text) {
		return environ.Value{}, fault.New(fault.Invalid, "%q is not a context; contexts are %s, and branch:NAME for one branch", text, strings.Join(known, ", "))
	}
	return environ.Value{Context: text}, nil
}

// wordContext is the inverse of contextOf.
func wordContext(v environ.Value) string {
	if v.Context == environ.Branch {
		return "branch:" + v.Parameter
	}
	return v.Context
}

func wordContexts(where []environ.Value) string {
	if len(where) == 0 {
		return "all contexts"
	}
	var out []string
	for _, v := range where {
		out = append(out, wordContext(v))
	}
	return strings.Join(out, ", ")
}
