using Microsoft.CodeAnalysis;

namespace Ndif.Models.Generator;

/// <summary>
/// Writes the instrumented copy of every module's forward, and of the functions it calls: each call and operator on tensors becomes a
/// named operation whose arguments and result a run may read and replace. The plain forward does not change; it runs when a module has
/// no hooks inside.
/// <code>
///   Tensor[] parts = _cAttn.Call(hidden).split(size, 2);       becomes
///   Tensor[] parts = on.Call(1, [on.Call(0, [hidden], a => _cAttn.Call((Tensor)a[0])), size, 2], a => ((Tensor)a[0]).split((int)a[1], 2));
/// </code>
/// 1. <see cref="ModuleCompilation"/> determines whether an input of the generator has changed.
/// 2. <see cref="ModelSources"/> finds the forwards, and the functions of this compilation that they reach.
/// 3. <see cref="FunctionRewriter"/> copies one function; <see cref="OperationNames"/> names the operations.
/// 4. <see cref="SymbolicShape"/> reads the shape comments, and <see cref="ShapeRules"/> gives the shape of a result from the shapes of
///    the arguments. So the comments declare the axes of each value, and a comment that contradicts the code is an error.
/// 5. <see cref="SourceWriter"/> writes the partial class. A layer that several models share has its table as a template
///    (<see cref="InstanceConditions"/>).
/// </summary>
[Generator(LanguageNames.CSharp)]
public sealed class ModelSourceGenerator : IIncrementalGenerator
{
    /// <summary>The step whose result decides whether anything is written anew.</summary>
    public const string ModulesStep = "Modules";

    public void Initialize(IncrementalGeneratorInitializationContext context) => context.RegisterSourceOutput(
        context.CompilationProvider.Select(static (compilation, cancellation) => ModuleCompilation.Create(compilation, cancellation))
            .WithTrackingName(ModulesStep),
        static (output, modules) => new ModelSources(modules.Compilation, output).Write());
}
