using Microsoft.CodeAnalysis;

namespace Ndif.Models.Source;

/// <summary>
/// Writes the instrumented copy of every module's forward, and of the functions it calls: each call and operator on tensors becomes a
/// named operation whose arguments and result a run may see and change. The plain forward stays as it is and runs when nobody looks.
/// <code>
///   Tensor[] parts = _cAttn.Call(hidden).split(width, 2);       becomes
///   Tensor[] parts = on.Call(1, [on.Call(0, [hidden], a => _cAttn.Call((Tensor)a[0])), width, 2], a => ((Tensor)a[0]).split((int)a[1], 2));
/// </code>
/// 1. <see cref="ModelSources"/> finds the forwards, and the functions of ours that they reach.
/// 2. <see cref="FunctionRewriter"/> copies one function; <see cref="OperationNames"/> names what it finds.
/// 3. <see cref="SymbolicShape"/> reads the shape comments, and <see cref="ShapeRules"/> says what an operation makes of a shape: so the rows and
///    tokens of each value are declared by the code that a reader sees, and a comment that contradicts the code is an error.
/// 4. <see cref="SourceWriter"/> writes the partial class.
/// </summary>
[Generator(LanguageNames.CSharp)]
public sealed class ModelSourceGenerator : IIncrementalGenerator
{
    public void Initialize(IncrementalGeneratorInitializationContext context) =>
        context.RegisterSourceOutput(context.CompilationProvider, static (output, compilation) => new ModelSources(compilation, output).Write());
}
