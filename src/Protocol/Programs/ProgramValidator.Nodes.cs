using Ndif.Protocol.Ops;
using static Ndif.ErrorText;

namespace Ndif.Protocol.Programs;

public sealed partial class ProgramValidator
{
    /// <summary>
    /// The checks of each kind of node. A visit returns the context of the node's regions, which are validated next; null if there are
    /// none, or if the visit has validated them itself.
    /// </summary>
    private sealed class NodeValidator(ProgramValidator validator) : NodeVisitor<RegionContext, RegionContext?>
    {
        private ModelDescription? Model => validator._model;

        protected override RegionContext? VisitNone(RegionContext scope) => throw InvalidProgram("A node has no kind.");

        protected override RegionContext? VisitRegionParameter(RegionParameter parameter, RegionContext scope) =>
            throw InvalidProgram("A node has no kind.");

        protected override RegionContext? VisitCall(Call call, RegionContext scope)
        {
            if (OpTable.Find(call.Op) is null)
            {
                string name = Truncate(call.Op);
                throw CreateException(ErrorCode.UnknownOp, $"There is no operation `{name}`.", Errors.DidYouMean(name, OpTable.Rows.Keys));
            }
            ArgumentBinder.Bind(call);
            return null;
        }

        protected override RegionContext? VisitRead(ReadSite read, RegionContext scope)
        {
            RequireTrace(scope, "A site");
            ValidateSite(read.Site, read.Call, scope);
            return null;
        }

        protected override RegionContext? VisitWrite(WriteSite write, RegionContext scope)
        {
            RequireTrace(scope, "A site");
            ValidateSite(write.Site, write.Call, scope);
            if (write.Site.Module == GeneratorSites.Generator && IsGeneratorSite(write.Site.Module, scope))
            {
                throw BadArgument(
                    "The result of a generation can be read, not replaced.",
                    "Replace tokens as they are chosen: Generator.Streamer.Output.");
            }
            return null;
        }

        protected override RegionContext? VisitSkip(SkipModule skip, RegionContext scope)
        {
            RequireTrace(scope, "Skip");
            ValidateOperation(ResolveModule(skip.Module), skip.Module, skip.Operation);
            ValidateCallIndex(skip.Call, scope);
            return null;
        }

        protected override RegionContext? VisitStartAt(StartAt start, RegionContext scope)
        {
            RequireTrace(scope, "StartAt");
            ResolveModule(start.Module);
            if (scope.Invoke is not { } invoke || (invoke.Input is null && !invoke.HasBeside))
            {
                throw InvalidProgram(
                    "StartAt is not allowed outside of any invoke with a prompt.",
                    "The value takes the place of a prompt's hidden states: give the invoke a prompt of as many tokens.");
            }
            if (scope.InLoop) throw InvalidProgram("StartAt stands in a loop.", "A pass begins once.");
            if (scope.Trace!.Mode is Mode.Generate)
            {
                throw Unsupported(
                    "A generation cannot start at a module: the layers before it would have no keys and values of the prompt.",
                    "Use Trace, or replace the module's input instead.", start.Module);
            }
            if (Model is not null && StartPoints.Validate(Model, start.Module) is { } refusal) throw Errors.ToException(refusal);
            return null;
        }

        /// <summary>The forward is validated before the module's name is known, so that the module cannot call itself.</summary>
        protected override RegionContext? VisitDefineModule(DefineModule module, RegionContext scope)
        {
            string path = module.Path;
            if (scope.Depth > 0 || scope.Trace is not null)
                throw InvalidProgram("A module is defined at the beginning of a program, before its traces.");
            if (path.Length is 0 or > 500 || !path.Split('.').All(ModulePaths.IsValidName))
                throw InvalidProgram($"`{Truncate(path)}` is not a valid module path.");
            if (validator._definedModules.ContainsKey(path) || Model?.Root.Find(path) is not null)
            {
                throw BadArgument($"There is a module `{Truncate(path)}` already.", "Attach under another name.", Truncate(path));
            }
            if (module.Forward >= validator._program.Regions.Count || validator._program.Regions[(int)module.Forward].Parameters.Count != 1)
                throw InvalidProgram("A module's forward has one input.");
            validator.ValidateRegion(module.Forward, scope with { Depth = scope.Depth + 1, InModule = path });
            validator.ValidateArgument(module.Result, 0);
            validator._definedModules[path] = new ModuleInfo { Name = path, ClassName = module.ClassName };
            return null;
        }

        protected override RegionContext? VisitCallModule(CallModule call, RegionContext scope)
        {
            if (!validator._definedModules.ContainsKey(call.Module)) ResolveModule(call.Module);
            else if (call is not { Arguments.Count: 1, Keywords.Count: 0 })
                throw BadArgument($"`{Truncate(call.Module)}` takes one input.");
            foreach (CallAdapter adapter in call.Adapters) ValidateAdapter(call.Module, adapter, scope);
            return null;
        }

        private void ValidateAdapter(string called, CallAdapter adapter, RegionContext scope)
        {
            bool isInside = called.Length == 0 || adapter.Module == called
                || adapter.Module.StartsWith($"{called}.", StringComparison.Ordinal);
            if (!isInside || ResolveModule(adapter.Module).List || validator._definedModules.ContainsKey(called))
                throw InvalidProgram($"`{Truncate(adapter.Module)}` has an adapter, and a call of `{Truncate(called)}` does not run it.");
            var regions = validator._program.Regions;
            if (adapter.Forward >= regions.Count || regions[(int)adapter.Forward].Parameters.Count != 2)
                throw InvalidProgram("An adapter has the input and the output of its module.");
            RegionContext inner = scope with { Depth = scope.Depth + 1, InLoop = false, Steps = null, InModule = adapter.Module };
            validator.ValidateRegion(adapter.Forward, inner);
            validator.ValidateArgument(adapter.Result, 0);
        }

        protected override RegionContext? VisitParameter(ReadParameter parameter, RegionContext scope)
        {
            ModuleInfo module = ResolveModule(parameter.Module);
            if (Model is not null && module.Parameters.All(p => p.Name != parameter.Name))
            {
                throw UnknownModule(
                    $"`{Truncate(parameter.Module)}` has no parameter `{Truncate(parameter.Name)}`.",
                    Errors.DidYouMean(Truncate(parameter.Name), module.Parameters.Select(p => p.Name)), parameter.Module);
            }
            return null;
        }

        protected override RegionContext? VisitResult(ReadResult result, RegionContext scope) => RequireTrace(scope, "Result");

        protected override RegionContext? VisitStop(Stop stop, RegionContext scope) => RequireTrace(scope, "Stop");

        protected override RegionContext? VisitBarrier(Messages.Barrier barrier, RegionContext scope) => RequireTrace(scope, "Barrier");

        protected override RegionContext? VisitCache(Cache cache, RegionContext scope)
        {
            RequireTrace(scope, "A cache");
            if (cache.Dtype is not DataType.Unspecified) RequireType(cache.Dtype);
            if (cache.Routing && Model is { } model && !HasExperts(model.Root))
                throw InvalidProgram($"{model.Architecture} has no experts, so it has no routing to cache.", "Leave routing out.");
            foreach (string path in cache.Modules)
            {
                if (ResolveModule(path).List)
                {
                    throw UnknownModule(
                        $"`{Truncate(path)}` is a list of modules: it is never called itself.", "Cache its modules.", Truncate(path));
                }
            }
            return null;
        }

        private static bool HasExperts(ModuleInfo module) => module.Virtual || module.Children.Any(HasExperts);

        protected override RegionContext? VisitSave(Save save, RegionContext scope) => null;

        protected override RegionContext? VisitContainer(MakeContainer container, RegionContext scope) => null;

        protected override RegionContext? VisitAppend(Append append, RegionContext scope) => null;

        protected override RegionContext? VisitPut(PutEntry put, RegionContext scope) => null;

        protected override RegionContext? VisitSetVariable(SetVariable set, RegionContext scope) => null;

        protected override RegionContext? VisitReadGradient(ReadGradient read, RegionContext scope) => null;

        protected override RegionContext? VisitWriteGradient(WriteGradient write, RegionContext scope) => null;

        protected override RegionContext? VisitLog(Log log, RegionContext scope) => null;

        protected override RegionContext? VisitNewParameter(NewParameter parameter, RegionContext scope) => null;

        protected override RegionContext? VisitLocal(LocalCall call, RegionContext scope) =>
            call.TimeoutSeconds is > 0 and <= 86_400 ? null : throw InvalidProgram("A local call needs a time limit of up to a day.");

        protected override RegionContext? VisitNewOptimizer(NewOptimizer optimizer, RegionContext scope)
        {
            new OptimizerSettings(optimizer).Validate();
            if (optimizer.Parameters.Any(p => KindOf(p) is not Node.KindOneofCase.NewParameter))
                throw BadArgument("An optimizer trains parameters of the program.", "Pass what Parameter(...) returned.");
            return null;
        }

        protected override RegionContext? VisitOptimizerStep(OptimizerStep step, RegionContext scope) =>
            KindOf(step.Optimizer) is Node.KindOneofCase.NewOptimizer ? null
                : throw InvalidProgram("A step of an optimizer refers to a node that is not an optimizer.");

        protected override RegionContext? VisitBreak(Break statement, RegionContext scope) =>
            scope.InLoop ? null : throw InvalidProgram("Break is not allowed outside of a loop.");

        protected override RegionContext? VisitIf(If statement, RegionContext scope) => scope with { Depth = scope.Depth + 1 };

        protected override RegionContext? VisitForEach(ForEach loop, RegionContext scope) =>
            scope with { Depth = scope.Depth + 1, InLoop = true };

        protected override RegionContext? VisitWhile(While loop, RegionContext scope) =>
            loop.Condition is not null ? scope with { Depth = scope.Depth + 1, InLoop = true }
                : throw InvalidProgram("A while loop has no condition.");

        protected override RegionContext? VisitSteps(StepLoop loop, RegionContext scope) =>
            scope with { Depth = scope.Depth + 1, InLoop = true, Steps = loop };

        protected override RegionContext? VisitBackward(Backward backward, RegionContext scope)
        {
            if (scope.InBackward) throw InvalidProgram("A backward pass is not allowed inside of another one's block.");
            if (scope.Trace is { Gradients: false } trace)
            {
                throw trace.Mode is Mode.Forward
                    ? CreateException(
                        ErrorCode.NoGradient, "Backward needs a trace with gradients; this one builds no graph.",
                        "Open it with grad: true.")
                    : CreateException(
                        ErrorCode.NoGradient, $"Backward needs a trace with gradients. {NameOf(trace)} has none.", ForwardPassHint);
            }
            return scope with { Depth = scope.Depth + 1, InLoop = false, InBackward = true };
        }

        protected override RegionContext? VisitTrace(Messages.Trace trace, RegionContext scope)
        {
            if (scope.Trace is not null) throw InvalidProgram("A trace is not allowed inside another trace.");
            if (scope.InBackward) throw InvalidProgram("A trace is not allowed inside a backward block.");
            if (scope.InModule is not null) throw InvalidProgram("A trace is not allowed inside the forward of a module.");
            if (trace is { Gradients: true, Mode: not Mode.Forward })
                throw Unsupported($"{NameOf(trace)} has no gradients.", ForwardPassHint);
            if (trace.Mode is Mode.Unspecified || !Enum.IsDefined(trace.Mode)) throw InvalidProgram("A trace has no mode.");
            if (trace.Mode is Mode.Generate && Model is not null && !Model.Task.Generates())
                throw Unsupported($"{Model.Architecture} does not generate text: its task is {Model.Task.ToName()}.", "Use Trace(prompt).");
            if (trace.Invokes.Any(i => i.Input is { Pairs.Count: > 0 } input && input.Pairs.Count != input.Prompts.Count))
                throw InvalidProgram("An input has pairs, but not one for each prompt.");
            if (trace.Invokes.Any(i => i.Input is { Ids: null } input && (input.AttentionMask ?? input.TokenTypeIds) is not null))
                throw InvalidProgram("An input has an attention mask or types of tokens, but no tensor of token ids.");
            if (!trace.Invokes.Any(i => i.Input is not null))
            {
                throw CreateException(
                    ErrorCode.BadInput, "The trace has no input.", "Pass a prompt to Trace(...), or open at least one t.Invoke(prompt).");
            }

            // Nodes between the invokes are in the trace's own region. It is validated last, but later invokes may use them.
            if (trace.Region < validator._program.Regions.Count)
                validator._nodesBetweenInvokes.UnionWith(validator._program.Regions[(int)trace.Region].Nodes);
            if (trace.Invokes.Any(i => i.HasBeside && (i.Input is not null || !HasRows(i.Beside))))
                throw InvalidProgram("An invoke shares the rows of an invoke that has no rows.");
            if (trace.Generation is { } generation) GenerationOptionsValidator.Validate(generation);
            foreach (Messages.Invoke invoke in trace.Invokes)
                if (invoke.Generation is { } own) GenerationOptionsValidator.ValidateForInvoke(own);
            foreach (Generation? options in trace.Invokes.Select(invoke => invoke.Generation).Prepend(trace.Generation))
                if (options is not null) GenerationOptionsValidator.ValidateVocabulary(options, Model?.Vocabulary ?? 0);
            RegionContext inner = scope with { Trace = trace, Depth = scope.Depth + 1, InLoop = false, Steps = null };
            foreach (Messages.Invoke invoke in trace.Invokes) validator.ValidateRegion(invoke.Region, inner with { Invoke = invoke });
            validator.ValidateRegion(trace.Region, inner);
            return null;

            bool HasRows(uint invoke) => invoke < trace.Invokes.Count && trace.Invokes[(int)invoke].Input is not null;
        }

        private const string ForwardPassHint = "Use a trace of one forward pass: Trace(prompt, grad: true).";

        private static string NameOf(Messages.Trace trace) => trace.Mode is Mode.Scan ? "A scan" : "A generation";

        /// <summary>Throws if the region is not inside a trace's pass. The node has no regions.</summary>
        private static RegionContext? RequireTrace(RegionContext scope, string what)
        {
            if (scope.InModule is { } module)
            {
                throw InvalidProgram(
                    $"{what} cannot be used inside of the forward of `{Truncate(module)}`: it works on its input alone.",
                    "Read it in the trace and give it as the input.");
            }
            if (scope.Trace is null) throw InvalidProgram($"{what} can be used only inside of a trace.");
            if (scope.InBackward) throw InvalidProgram("Inside of a backward block only gradients can be read; read sites before it.");
            return null;
        }

        private void ValidateSite(Site site, CallIndex? call, RegionContext scope)
        {
            if (site is null) throw InvalidProgram("A node names no site.");
            if (site.Kind is SiteKind.Unspecified || !Enum.IsDefined(site.Kind))
                throw InvalidProgram("A site does not say whether it is an input or an output.");
            ModuleInfo module = validator._definedModules.GetValueOrDefault(site.Module) ?? ResolveModule(site.Module, scope);
            if (IsGeneratorSite(site.Module, scope) && site.Kind is not SiteKind.Output)
                throw UnknownModule($"`{site.Module}` has an output and nothing else.", "Use .Output.", site.Module);
            if (module.List)
            {
                string kind = site.Kind.ToString().ToLowerInvariant();
                throw UnknownModule(
                    $"`{site.Module}` is a list of modules: it is never called itself, so it has no {kind}.",
                    $"Index it: [0..{module.Children.Count - 1}].", site.Module);
            }
            ValidateOperation(module, site.Module, site.Operation);
            if (site.Kind is SiteKind.Hidden && site.Operation.Length > 0)
                throw InvalidProgram("An operation has no hidden state; read its output.");
            ValidateCallIndex(call, scope);
        }

        /// <summary>Checks the name of an operation inside a module's forward (Source), if there is one.</summary>
        private void ValidateOperation(ModuleInfo module, string path, string operation)
        {
            if (operation.Length > 0) Model?.FindOperation(module, path, operation);
        }

        private static void ValidateCallIndex(CallIndex? call, RegionContext scope)
        {
            if (call is null || call.WhichCase is CallIndex.WhichOneofCase.None)
                throw InvalidProgram("A site does not say which call of its module is meant.");
            if (call.WhichCase is CallIndex.WhichOneofCase.Step && scope.Steps?.Each is null)
                throw InvalidProgram("A site refers to the step of an iteration that does not contain it.");
        }

        /// <summary>True for the sites of a generation, which language models have in addition to those of their modules.</summary>
        private bool IsGeneratorSite(string path, RegionContext scope)
        {
            if (!GeneratorSites.Contains(path) || Model is null or { Vocabulary: 0 }) return false;
            return scope.Trace?.Mode is Mode.Generate ? true
                : throw UnknownModule($"`{path}` is there only while a model generates.", "Open the trace with Generate(...).", path);
        }

        private ModuleInfo ResolveModule(string path, RegionContext? generationScope = null)
        {
            if (Model is null) return new ModuleInfo();
            if (generationScope is not null && IsGeneratorSite(path, generationScope)) return GeneratorSites.Info;
            return Model.Root.Find(path) ?? throw UnknownModule(
                $"{Model.Architecture} has no module `{Truncate(path)}`.",
                ModulePaths.GetSuggestion(Model.Root, Truncate(path)), Truncate(path));
        }

        private Node.KindOneofCase KindOf(uint node) => validator._program.Nodes[(int)node].KindCase;

        private static Exception BadArgument(string message, string hint = "", string module = "") =>
            CreateException(ErrorCode.BadArgument, message, hint, module);

        private static Exception UnknownModule(string message, string hint, string module) =>
            CreateException(ErrorCode.UnknownModule, message, hint, module);
    }
}
