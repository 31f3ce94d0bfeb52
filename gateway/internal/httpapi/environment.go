package httpapi

import (
	"context"
	"fmt"
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/labstack/echo/v4"
	"github.com/nightshift/nightshift/gateway/internal/environment"
	"github.com/nightshift/nightshift/shared/api"
	"github.com/nightshift/nightshift/shared/deploy"
	"github.com/nightshift/nightshift/shared/environ"
	"github.com/nightshift/nightshift/shared/fault"
)

// maxVariables bounds what is sent of variables: a hundred of the longest.
const maxVariables = 8 << 20

// Environment keeps environment variables; see package environment.
type Environment interface {
	List(ctx context.Context, site string) ([]environ.Variable, error)
	Variable(ctx context.Context, site, key string) (environ.Variable, error)
	Create(ctx context.Context, site string, variables []environ.Variable) ([]environ.Variable, error)
	Change(ctx context.Context, site, key string, change func(environ.Variable) (environ.Variable, error)) (environ.Variable, error)
	Remove(ctx context.Context, site, key string) error
	Freeze(ctx context.Context, site, deployContext, branch string, own []environ.Variable) ([]byte, error)
	Keys(ctx context.Context) (environment.Keys, error)
	Reseal(ctx context.Context, until time.Time) (environment.Keys, error)
}

// resealFor is how long one call seals anew; a client calls until all is done.
const resealFor = 10 * time.Second

// secretKeys says which keys there are, and what is sealed with each.
func (s *server) secretKeys(c echo.Context) error {
	keys, err := s.Environment.Keys(c.Request().Context())
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, fromKeys(keys))
}

// reseal seals with the first key what was sealed with others.
func (s *server) reseal(c echo.Context) error {
	keys, err := s.Environment.Reseal(c.Request().Context(), time.Now().Add(resealFor))
	if err != nil {
		return err
	}
	s.log.Info("secrets sealed anew", "variables", keys.Resealed.Variables, "deploys", keys.Resealed.Deploys, "done", keys.Done(), "from", c.RealIP())
	return c.JSON(http.StatusOK, fromKeys(keys))
}

func fromKeys(keys environment.Keys) api.SecretKeys {
	out := api.SecretKeys{
		Keys: make([]api.SecretKey, 0, len(keys.Uses)), Done: keys.Done(),
		Unreadable: api.Sealed(keys.Unreadable), Resealed: api.Sealed(keys.Resealed),
	}
	for i, use := range keys.Uses {
		out.Keys = append(out.Keys, api.SecretKey{ID: use.Key, Seals: i == 0, Sealed: api.Sealed(use.Count)})
	}
	return out
}

// netlifyErrors adds msg to errors: that is where the netlify CLI looks for the
// text of errors of these calls, and of no others.
func (s *server) netlifyErrors(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		err := next(c)
		if err == nil || c.Response().Committed {
			return err
		}
		answer, retryAfter := s.describe(err, c)
		if retryAfter > 0 {
			c.Response().Header().Set("Retry-After", strconv.Itoa(int(math.Ceil(retryAfter.Seconds()))))
		}
		c.Response().Header().Set("Cache-Control", "no-store")
		return c.JSON(answer.Code, struct {
			api.Error
			Msg string `json:"msg"`
		}{answer, answer.Message})
	}
}

// ofAccount lets only calls about the account pass, and keeps values out of caches.
func ofAccount(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		if account := c.Param("account"); account != api.Account {
			return fault.New(fault.NotFound, "there is no account %.80q; an installation has one, %q", account, api.Account)
		}
		c.Response().Header().Set("Cache-Control", "no-store")
		return next(c)
	}
}

// siteOf is the site that a call is about; fault.Invalid if it says none,
// fault.NotFound if there is none.
func (s *server) siteOf(c echo.Context) (string, error) {
	name := deploy.SiteName(c.QueryParam("site_id"))
	if name == "" {
		return "", fault.New(fault.Invalid, "environment variables belong to a site here, not to the account; say which one with site_id (the netlify CLI: --site NAME)")
	}
	site, err := s.Release.Site(c.Request().Context(), name)
	return site.Name, err
}

// listVariables answers with the variables of a site, those of a scope and of a
// context if one is asked for. For a context each has the one value that holds
// there, and secrets are left out: whoever asks so is about to use the values,
// in a build or in `netlify dev`, and a mask would be taken for the secret.
func (s *server) listVariables(c echo.Context) error {
	out := []api.Variable{}
	if deploy.SiteName(c.QueryParam("site_id")) == "" {
		return c.JSON(http.StatusOK, out)
	}
	site, err := s.siteOf(c)
	if err != nil {
		return err
	}
	list, err := s.Environment.List(c.Request().Context(), site)
	if err != nil {
		return err
	}
	scope, context := strings.ReplaceAll(queryOf(c, "scope"), "-", "_"), queryOf(c, "context_name")
	for _, v := range list {
		if scope != "" && !slices.Contains(v.Scopes, scope) {
			continue
		}
		if context != "" {
			value, ok := v.In(context, "")
			if !ok || v.Secret && value.Context != environ.Dev {
				continue
			}
			v.Values = []environ.Value{value}
		}
		out = append(out, api.FromVariable(v))
	}
	return c.JSON(http.StatusOK, out)
}

// queryOf is a parameter of the query; clients of Netlify's API send some as lists.
func queryOf(c echo.Context, name string) string {
	if list := c.QueryParams()[name+"[]"]; len(list) > 0 {
		return list[0]
	}
	return c.QueryParam(name)
}

// createVariables makes new variables, all of them or none.
func (s *server) createVariables(c echo.Context) error {
	site, err := s.siteOf(c)
	if err != nil {
		return err
	}
	var in []api.Variable
	if err := readSecrets(c, &in); err != nil {
		return err
	}
	variables := make([]environ.Variable, 0, len(in))
	for _, v := range in {
		variables = append(variables, v.Domain())
	}
	made, err := s.Environment.Create(c.Request().Context(), site, variables)
	if err != nil {
		return err
	}
	s.logChange(c, site, "created", made...)
	out := make([]api.Variable, 0, len(made))
	for _, v := range made {
		out = append(out, api.FromVariable(v))
	}
	return c.JSON(http.StatusCreated, out)
}

// variable answers with one variable.
func (s *server) variable(c echo.Context) error {
	if deploy.SiteName(c.QueryParam("site_id")) == "" { // the account has none
		return fault.New(fault.NotFound, "the account has no environment variable %.80q; they belong to sites: say which one with site_id", c.Param("key"))
	}
	site, err := s.siteOf(c)
	if err != nil {
		return err
	}
	v, err := s.Environment.Variable(c.Request().Context(), site, c.Param("key"))
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, api.FromVariable(v))
}

// replaceVariable makes a variable what the body says.
func (s *server) replaceVariable(c echo.Context) error {
	var in api.Variable
	return s.change(c, http.StatusOK, &in, func(v environ.Variable) (environ.Variable, error) { return v.Replace(in.Domain()) })
}

// setVariable sets the value of a variable in one context.
func (s *server) setVariable(c echo.Context) error {
	var in api.SetVariableValue
	return s.change(c, http.StatusCreated, &in, func(v environ.Variable) (environ.Variable, error) { return v.Set(in.Domain(), in.IsSecret) })
}

func (s *server) change(c echo.Context, status int, body any, change func(environ.Variable) (environ.Variable, error)) error {
	site, err := s.siteOf(c)
	if err != nil {
		return err
	}
	if err := readSecrets(c, body); err != nil {
		return err
	}
	v, err := s.Environment.Change(c.Request().Context(), site, c.Param("key"), change)
	if err != nil {
		return err
	}
	s.logChange(c, site, "changed", v)
	return c.JSON(status, api.FromVariable(v))
}

// removeVariable removes a variable with all its values.
func (s *server) removeVariable(c echo.Context) error {
	site, err := s.siteOf(c)
	if err != nil {
		return err
	}
	if err := s.Environment.Remove(c.Request().Context(), site, c.Param("key")); err != nil {
		return err
	}
	s.logChange(c, site, "removed", environ.Variable{Key: c.Param("key")})
	return c.NoContent(http.StatusNoContent)
}

// removeValue removes the value of a variable in one context.
func (s *server) removeValue(c echo.Context) error {
	site, err := s.siteOf(c)
	if err != nil {
		return err
	}
	v, err := s.Environment.Change(c.Request().Context(), site, c.Param("key"), func(v environ.Variable) (environ.Variable, error) { return v.Remove(c.Param("id")) })
	if err != nil {
		return err
	}
	s.logChange(c, site, "changed", v)
	return c.NoContent(http.StatusNoContent)
}

// readSecrets is readJSON for a body with values in it, which an error must not
// quote, as those of the decoder do.
func readSecrets(c echo.Context, into any) error {
	err := readJSON(c, maxVariables, into)
	if fault.Is(err, fault.Invalid) {
		return fault.New(fault.Invalid, "the body is not the JSON that is expected: variables look like {\"key\": \"A\", \"values\": [{\"context\": \"all\", \"value\": \"…\"}]}")
	}
	return err
}

// logChange says who changed what, without values.
func (s *server) logChange(c echo.Context, site, change string, variables ...environ.Variable) {
	keys := make([]string, 0, len(variables))
	for _, v := range variables {
		keys = append(keys, v.Key)
	}
	entryOf(c).Details = strings.Join(keys, ", ")
	s.log.Info("environment variables "+change, "site", site, "keys", fmt.Sprint(keys), "from", c.RealIP())
}
