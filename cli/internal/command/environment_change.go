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
		RunE: w.online(func(ctx context.Context, client *client.Client, args []string) error {
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
			v, err := a.set(ctx, client, args[0], value, where)
			if err != nil {
				return err
			}
			if asJSON {
				return w.printJSON(v)
			}
			fmt.Fprintf(w.Stdout, "%s %s for %s\n", view.StyleOf(w.Stdout).Good("Set"), v.Key, wordContexts(where))
			fmt.Fprintln(w.Stderr, nextDeploy)
			return nil
		}),
	}
	a.flags(cmd)
	jsonFlag(cmd, &asJSON)
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
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "unset KEY",
		Short: "Remove an environment variable, or its value for some contexts",
		Args:  arguments("the name of a variable"),
		RunE: w.online(func(ctx context.Context, client *client.Client, args []string) error {
			where, err := a.where()
			if err != nil {
				return err
			}
			if err := a.unset(ctx, client, args[0], where); err != nil {
				return err
			}
			if asJSON {
				return w.printJSON(removed{args[0], append([]string{}, a.contexts...)})
			}
			fmt.Fprintf(w.Stdout, "%s %s for %s\n", view.StyleOf(w.Stdout).Good("Removed"), args[0], wordContexts(where))
			fmt.Fprintln(w.Stderr, nextDeploy)
			return nil
		}),
	}
	siteFlag(cmd, &a.site)
	cmd.Flags().StringArrayVar(&a.contexts, "context", nil, "`context` whose value is removed; may be repeated (default: the whole variable)")
	jsonFlag(cmd, &asJSON)
	return cmd
}

// removed is the document of env unset.
type removed struct {
	Key      string   `json:"key"`
	Contexts []string `json:"contexts"` // empty: the whole variable
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
		RunE: w.online(func(ctx context.Context, client *client.Client, args []string) error {
			where, err := a.where()
			if err != nil {
				return err
			}
			read, err := w.readEnv(args[0])
			if err != nil {
				return err
			}
			list, err := a.importAll(ctx, client, read, where)
			if err != nil {
				return err
			}
			if asJSON {
				return w.printJSON(list)
			}
			fmt.Fprintf(w.Stdout, "%s %s for %s: %s\n", view.StyleOf(w.Stdout).Good("Set"), view.Count(len(read), "variable"), wordContexts(where), strings.Join(slices.Sorted(maps.Keys(read)), ", "))
			fmt.Fprintln(w.Stderr, nextDeploy)
			return nil
		}),
	}
	a.flags(cmd)
	jsonFlag(cmd, &asJSON)
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
