package expression

import (
	"reflect"
	"sync"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/env"
	"cel.dev/cel-go/ext"
)

// variables are in scope.
var variables = []string{"subject", "actor", "caller", "request", "now"}

// environment is what expressions can name: the same for all. The functions are
// those of the CEL standard but for "matches", which finds its pattern anywhere
// in the text, its extensions for strings, sets and addresses, and our own.
var environment = sync.OnceValues(func() (*cel.Env, error) {
	standard := env.NewLibrarySubset().AddExcludedFunctions(env.NewFunction("matches"))
	options := []cel.EnvOption{
		cel.StdLib(cel.StdLibSubset(standard)),
		cel.DefaultUTCTimeZone(true),
		cel.CrossTypeNumericComparisons(true),
		cel.StrictTimestampParsing(true),
		cel.ParserRecursionLimit(50),
		ext.Strings(),
		ext.Sets(),
		ext.Network(),
		ext.NativeTypes(reflect.TypeFor[Request](), reflect.TypeFor[Caller](), ext.ParseStructTags(true)),
		cel.Variable("subject", cel.MapType(cel.StringType, cel.DynType)),
		cel.Variable("actor", cel.MapType(cel.StringType, cel.DynType)),
		cel.Variable("caller", cel.ObjectType("expression.Caller")),
		cel.Variable("request", cel.ObjectType("expression.Request")),
		cel.Variable("now", cel.TimestampType),
	}
	return cel.NewCustomEnv(append(options, functions()...)...)
})

func programOptions() []cel.ProgramOption {
	return []cel.ProgramOption{
		cel.EvalOptions(cel.OptOptimize),
		cel.CostLimit(maxCost),
		cel.MemoryLimit(maxMemory),
		cel.OptimizeRegex(precompiledRegex),
	}
}
