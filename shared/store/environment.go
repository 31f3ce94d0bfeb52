package store

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"slices"

	"github.com/nightshift/nightshift/shared/deploy"
	"github.com/nightshift/nightshift/shared/fault"
	"github.com/redis/go-redis/v9"
)

// Environment variables come and go as sealed bytes: this package cannot read
// them, and neither can whoever reads Redis or a copy of its data.

var (
	//go:embed lua/environment.lua
	environmentBody string
	//go:embed lua/deploy_environment.lua
	deployEnvironmentBody string

	environmentScript       = redis.NewScript(environmentBody)
	deployEnvironmentScript = redis.NewScript(deployEnvironmentBody)
)

// deployEnvironment is the field of a deploy's hash that holds its frozen
// environment, sealed. It stands apart from the deploy itself, so that whoever
// only routes by the deploy never has it.
const deployEnvironment = "env"

// ErrChanged: a variable, or an environment, is not as the caller read it; read
// it again.
var ErrChanged = errors.New("the environment was changed meanwhile")

// VariableChange is what one variable of a site becomes.
type VariableChange struct {
	Key string
	// Before is what the caller has read, and After what is to be stored, sealed.
	// Empty means that there is no such variable.
	Before, After []byte
}

// Variables reads all variables of a site by name, sealed. A site without any
// has an empty map.
func (s *Store) Variables(ctx context.Context, site string) (map[string][]byte, error) {
	fields, err := s.rdb.HGetAll(ctx, environmentKey(site)).Result()
	if err != nil {
		return nil, failed(ctx, err, "reading environment variables")
	}
	sealed := make(map[string][]byte, len(fields))
	for key, value := range fields {
		sealed[key] = []byte(value)
	}
	return sealed, nil
}

// Variable reads one variable of a site, sealed; nil if there is none.
func (s *Store) Variable(ctx context.Context, site, key string) ([]byte, error) {
	return s.sealed(ctx, environmentKey(site), key, "reading an environment variable")
}

// ChangeVariables changes variables of a site, all of them or none. If one is
// not as the caller has read it, the error wraps [ErrChanged]. More than limit
// variables: fault.Conflict.
func (s *Store) ChangeVariables(ctx context.Context, site string, limit int, changes ...VariableChange) error {
	const doing = "changing environment variables"
	if !deploy.ValidSite(site) {
		return fault.New(fault.NotFound, "%.80q cannot be the name of a site", site)
	}
	args := []any{limit}
	for _, c := range changes {
		args = append(args, c.Key, c.Before, c.After)
	}
	word, rest, err := s.runList(ctx, environmentScript, doing, []string{environmentKey(site)}, args...)
	switch {
	case err != nil:
		return err
	case word == "changed":
		return nil
	case word == "other" && len(rest) == 1:
		return fmt.Errorf("%s: %s: %w", doing, rest[0], ErrChanged)
	case word == "full":
		return fault.New(fault.Conflict, "site %s would have more than %d environment variables; remove some first", site, limit)
	default:
		return unexpected(doing, word)
	}
}

// DeployEnvironment reads the environment that was frozen into a deploy,
// sealed; nil if it has none.
func (s *Store) DeployEnvironment(ctx context.Context, deployID string) ([]byte, error) {
	if !validDeployID(deployID) {
		return nil, UnknownDeploy(deployID)
	}
	return s.sealed(ctx, deployKey(deployID), deployEnvironment, "reading the environment of a deploy")
}

// EachDeployEnvironment calls fn with the environment of each deploy of a site
// that has one, sealed, and stops at its first error. A deploy that is there from
// the beginning to the end is among them for certain.
func (s *Store) EachDeployEnvironment(ctx context.Context, site string, fn func(deployID string, sealed []byte) error) error {
	const doing = "reading the environments of deploys"
	if !deploy.ValidSite(site) {
		return fault.New(fault.NotFound, "%.80q cannot be the name of a site", site)
	}
	ids, err := s.rdb.ZRange(ctx, deploysKey(site), 0, -1).Result()
	if err != nil {
		return failed(ctx, err, doing)
	}
	for page := range slices.Chunk(ids, deployPage) {
		answers := make([]*redis.StringCmd, len(page))
		_, err := s.rdb.Pipelined(ctx, func(p redis.Pipeliner) error {
			for i, id := range page {
				answers[i] = p.HGet(ctx, deployKey(id), deployEnvironment)
			}
			return nil
		})
		if err != nil && !errors.Is(err, redis.Nil) {
			return failed(ctx, err, doing)
		}
		for i, answer := range answers {
			sealed, err := answer.Bytes()
			switch {
			case errors.Is(err, redis.Nil): // it has none, or was removed
				continue
			case err != nil:
				return failed(ctx, err, doing)
			}
			if err := fn(page[i], sealed); err != nil {
				return err
			}
		}
	}
	return nil
}

// ReplaceDeployEnvironment puts other sealed bytes in the place of those that the
// caller has read. They must hold the same environment: a deploy never changes.
// If the bytes are not those any more, the error wraps [ErrChanged].
func (s *Store) ReplaceDeployEnvironment(ctx context.Context, deployID string, before, after []byte) error {
	const doing = "replacing the environment of a deploy"
	if !validDeployID(deployID) {
		return UnknownDeploy(deployID)
	}
	word, err := s.run(ctx, deployEnvironmentScript, doing, []string{deployKey(deployID)}, before, after)
	switch {
	case err != nil:
		return err
	case word == "replaced":
		return nil
	case word == "other":
		return fmt.Errorf("%s: %s: %w", doing, deployID, ErrChanged)
	default:
		return unexpected(doing, word)
	}
}

// SecretSites lists the sites that may have variables or deploys.
func (s *Store) SecretSites(ctx context.Context) ([]string, error) {
	sites, err := s.sitesWithDeploys(ctx)
	return sites, failed(ctx, err, "listing the sites")
}

// sealed reads a field; nil if there is none.
func (s *Store) sealed(ctx context.Context, key, field, doing string) ([]byte, error) {
	value, err := s.rdb.HGet(ctx, key, field).Bytes()
	if errors.Is(err, redis.Nil) {
		return nil, nil
	}
	return value, failed(ctx, err, doing)
}
