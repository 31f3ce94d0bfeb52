package command

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/nightshift/nightshift/cli/internal/dotenv"
	"github.com/nightshift/nightshift/cli/internal/view"
	"github.com/nightshift/nightshift/shared/api"
	"github.com/nightshift/nightshift/shared/client"
	"github.com/nightshift/nightshift/shared/environ"
	"github.com/nightshift/nightshift/shared/fault"
	"github.com/nightshift/nightshift/shared/secret"
	"github.com/spf13/cobra"
	"golang.org/x/term" // takes a value from the terminal without showing it
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
		RunE: func(cmd *cobra.Command, _ []string) error {
			api, err := w.client()
			if err != nil {
				return err
			}
			defer api.Close()
			list, err := api.Variables(cmd.Context(), site)
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
		},
	}
	siteFlag(cmd, &site)
	cmd.Flags().StringVar(&in, "context", "", "list what a deploy of this `context` gets (production, deploy-preview, branch-deploy, dev, branch:NAME)")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print them as JSON")
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
		RunE: func(cmd *cobra.Command, args []string) error {
			at, err := contextOf(in)
			if err != nil {
				return err
			}
			api, err := w.client()
			if err != nil {
				return err
			}
			defer api.Close()
			v, err := api.Variable(cmd.Context(), site, args[0])
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
		},
	}
	siteFlag(cmd, &site)
	cmd.Flags().StringVar(&in, "context", environ.Production, "`context` of the deploy (production, deploy-preview, branch-deploy, dev, branch:NAME)")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print {\"KEY\": \"value\"}")
	return cmd
}

// assignment is what set and import do to variables of a site.
type assignment struct {
	site     string
	contexts []string
	secret   bool
}

func (a *assignment) flags(cmd *cobra.Command) {
	siteFlag(cmd, &a.site)
	cmd.Flags().StringArrayVar(&a.contexts, "context", nil, "`context` that the value is for: production, deploy-preview, branch-deploy, dev, branch:NAME; may be repeated (default: all, instead of what there is)")
	cmd.Flags().BoolVar(&a.secret, "secret", false, "keep the value from everybody but functions, for good")
}

func (w World) envSet() *cobra.Command {
	a := &assignment{}
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "set KEY [VALUE]",
		Short: "Set an environment variable, for deploys to come",
		Long: `Set an environment variable, for deploys to come.

Without VALUE the value is read from standard input, or asked for on a terminal:
what stands on a command line is seen by other users and kept by the shell.`,
		Args: arguments("the name of a variable", "[VALUE]"),
		RunE: func(cmd *cobra.Command, args []string) error {
			where, err := a.where()
			if err != nil {
				return err
			}
			if err := environ.CheckKey(args[0]); err != nil {
				return err
			}
			value, err := w.value(args)
			if err != nil {
				return err
			}
			client, err := w.client()
			if err != nil {
				return err
			}
			defer client.Close()
			v, err := a.set(cmd.Context(), client, args[0], value, where)
			if err != nil {
				return err
			}
			if asJSON {
				return w.printJSON(v)
			}
			fmt.Fprintf(w.Stdout, "%s %s for %s\n", view.StyleOf(w.Stdout).Good("Set"), v.Key, wordContexts(where))
			fmt.Fprintln(w.Stderr, nextDeploy)
			return nil
		},
	}
	a.flags(cmd)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print the variable as JSON")
	return cmd
}

// where is what the values are for.
func (a *assignment) where() ([]environ.Value, error) {
	var out []environ.Value
	for _, text := range a.contexts {
		at, err := contextOf(text)
		if err != nil {
			return nil, err
		}
		out = append(out, at)
	}
	return out, nil
}

// values are one value for each of the contexts, or one for all.
func values(value secret.Text, where []environ.Value) []api.VariableValue {
	if len(where) == 0 {
		where = []environ.Value{{Context: environ.All}}
	}
	out := make([]api.VariableValue, 0, len(where))
	for _, at := range where {
		out = append(out, api.VariableValue{Context: at.Context, ContextParameter: at.Parameter, Value: value})
	}
	return out
}

// set sets a variable, which may be there. Where no context is given, the value
// takes the place of all that there are.
func (a *assignment) set(ctx context.Context, client *client.Client, key string, value secret.Text, where []environ.Value) (api.Variable, error) {
	before, err := client.Variable(ctx, a.site, key)
	switch {
	case fault.Is(err, fault.NotFound):
		made, err := client.CreateVariables(ctx, a.site, []api.Variable{{Key: key, IsSecret: a.secret, Values: values(value, where)}})
		if err != nil || len(made) != 1 {
			return api.Variable{}, cmp.Or(err, error(fault.New(fault.BadGateway, "the server did not say what it made")))
		}
		return made[0], nil
	case err != nil:
		return api.Variable{}, err
	case len(where) == 0:
		return client.ReplaceVariable(ctx, a.site, api.Variable{Key: key, IsSecret: a.secret, Scopes: before.Scopes, Values: values(value, nil)})
	}
	after := before
	for _, v := range values(value, where) {
		if after, err = client.SetVariableValue(ctx, a.site, key, api.SetVariableValue{VariableValue: v, IsSecret: a.secret}); err != nil {
			return api.Variable{}, err
		}
	}
	return after, nil
}

// value is the value of env set: an argument, or else standard input without
// its last line end.
func (w World) value(args []string) (secret.Text, error) {
	if len(args) > 1 {
		return secret.Text(args[1]), nil
	}
	if file, ok := w.Stdin.(*os.File); ok && term.IsTerminal(int(file.Fd())) {
		fmt.Fprintf(w.Stderr, "Value of %s (it is not shown): ", args[0])
		data, err := term.ReadPassword(int(file.Fd()))
		fmt.Fprintln(w.Stderr)
		if err != nil {
			return "", fault.Wrap(err, fault.Invalid, "the value cannot be read from the terminal; give it as an argument or through a pipe")
		}
		return secret.Text(data), nil
	}
	data, err := io.ReadAll(io.LimitReader(w.Stdin, environ.MaxValue+3)) // one more than fits, and a line end
	if err != nil {
		return "", fault.Wrap(err, fault.Invalid, "the value cannot be read from standard input")
	}
	return secret.Text(strings.TrimSuffix(strings.TrimSuffix(string(data), "\n"), "\r")), nil
}

func (w World) envUnset() *cobra.Command {
	a := &assignment{}
	cmd := &cobra.Command{
		Use:   "unset KEY",
		Short: "Remove an environment variable, or its value for some contexts",
		Args:  arguments("the name of a variable"),
		RunE: func(cmd *cobra.Command, args []string) error {
			where, err := a.where()
			if err != nil {
				return err
			}
			client, err := w.client()
			if err != nil {
				return err
			}
			defer client.Close()
			if err := a.unset(cmd.Context(), client, args[0], where); err != nil {
				return err
			}
			fmt.Fprintf(w.Stdout, "%s %s for %s\n", view.StyleOf(w.Stdout).Good("Removed"), args[0], wordContexts(where))
			fmt.Fprintln(w.Stderr, nextDeploy)
			return nil
		},
	}
	siteFlag(cmd, &a.site)
	cmd.Flags().StringArrayVar(&a.contexts, "context", nil, "`context` whose value is removed; may be repeated (default: the whole variable)")
	return cmd
}

func (a *assignment) unset(ctx context.Context, client *client.Client, key string, where []environ.Value) error {
	if len(where) == 0 {
		return client.RemoveVariable(ctx, a.site, key)
	}
	v, err := client.Variable(ctx, a.site, key)
	if err != nil {
		return err
	}
	var ids, there []string
	for _, value := range v.Values {
		there = append(there, wordContext(value.Domain()))
	}
	for _, at := range where {
		if !slices.ContainsFunc(v.Values, func(value api.VariableValue) bool { return value.ID == at.ID() }) {
			return fault.New(fault.NotFound, "%s has no value for %s, but for %s; without --context the whole variable is removed", key, wordContext(at), cmp.Or(strings.Join(there, ", "), "nothing"))
		}
		ids = append(ids, at.ID())
	}
	if slices.Sort(ids); len(slices.Compact(ids)) == len(v.Values) { // nothing would be left
		return client.RemoveVariable(ctx, a.site, key)
	}
	for _, id := range slices.Compact(ids) {
		if err := client.RemoveVariableValue(ctx, a.site, key, id); err != nil {
			return err
		}
	}
	return nil
}

func (w World) envImport() *cobra.Command {
	a := &assignment{}
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "import FILE",
		Short: "Set the variables of a .env file; - is standard input",
		Args:  arguments("a .env file"),
		RunE: func(cmd *cobra.Command, args []string) error {
			where, err := a.where()
			if err != nil {
				return err
			}
			read, err := w.readEnv(args[0])
			if err != nil {
				return err
			}
			client, err := w.client()
			if err != nil {
				return err
			}
			defer client.Close()
			list, err := a.importAll(cmd.Context(), client, read, where)
			if err != nil {
				return err
			}
			if asJSON {
				return w.printJSON(list)
			}
			fmt.Fprintf(w.Stdout, "%s %s for %s: %s\n", view.StyleOf(w.Stdout).Good("Set"), view.Count(len(read), "variable"), wordContexts(where), strings.Join(slices.Sorted(maps.Keys(read)), ", "))
			fmt.Fprintln(w.Stderr, nextDeploy)
			return nil
		},
	}
	a.flags(cmd)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print the variables as JSON")
	return cmd
}

// readEnv reads a .env file, and checks all of it before anything is changed.
func (w World) readEnv(name string) (map[string]string, error) {
	data, err := io.ReadAll(w.Stdin)
	if name != "-" {
		data, err = os.ReadFile(name)
	}
	if reason, ok := errors.AsType[*fs.PathError](err); ok {
		return nil, fault.Wrap(err, fault.Invalid, "%s cannot be read: %v", name, reason.Err)
	}
	if err != nil {
		return nil, fault.Wrap(err, fault.Invalid, "%s cannot be read", name)
	}
	read, skipped := dotenv.Parse(string(data))
	if len(skipped) > 0 {
		return nil, fault.New(fault.Invalid, "line %d of %s is neither NAME=value nor a comment; nothing was changed", skipped[0], name)
	}
	if len(read) == 0 {
		return nil, fault.New(fault.Invalid, "there are no variables in %s", name)
	}
	for _, key := range slices.Sorted(maps.Keys(read)) {
		if err := cmp.Or(environ.CheckKey(key), environ.CheckValue(key, secret.Text(read[key]))); err != nil {
			message, _ := fault.Public(err)
			return nil, fault.New(fault.Invalid, "%s: %s; nothing was changed", name, message)
		}
	}
	return read, nil
}

// importAll makes what is new in one step, and changes what is there.
func (a *assignment) importAll(ctx context.Context, client *client.Client, read map[string]string, where []environ.Value) ([]api.Variable, error) {
	list, err := client.Variables(ctx, a.site)
	if err != nil {
		return nil, err
	}
	there := map[string]bool{}
	for _, v := range list {
		there[v.Key] = true
	}
	var fresh, out []api.Variable
	for _, key := range slices.Sorted(maps.Keys(read)) {
		if !there[key] {
			fresh = append(fresh, api.Variable{Key: key, IsSecret: a.secret, Values: values(secret.Text(read[key]), where)})
		}
	}
	if len(fresh) > 0 {
		if out, err = client.CreateVariables(ctx, a.site, fresh); err != nil {
			return nil, err
		}
	}
	for _, key := range slices.Sorted(maps.Keys(read)) {
		if !there[key] {
			continue
		}
		v, err := a.set(ctx, client, key, secret.Text(read[key]), where)
		if err != nil {
			return nil, err
		}
		out = append(out, v)
	}
	return out, nil
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

func (w World) secretKey() *cobra.Command {
	return &cobra.Command{
		Use:   "secret-key",
		Short: "Print a new key for NIGHTSHIFT_SECRET_KEY",
		Long: `Print a new key for NIGHTSHIFT_SECRET_KEY, which gateways and workers need to keep
environment variables. Keep a copy where you keep passwords: without it the
variables are lost. To replace a key, put the new one in front of the old one,
with a comma between them.`,
		Args: arguments(),
		RunE: func(*cobra.Command, []string) error {
			key, err := secret.Generate()
			if err != nil {
				return err
			}
			fmt.Fprintln(w.Stdout, string(key))
			return nil
		},
	}
}
