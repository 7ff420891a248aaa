using System.Collections.Immutable;
using Microsoft.CodeAnalysis;
using Microsoft.CodeAnalysis.CSharp;
using Microsoft.CodeAnalysis.Diagnostics;

namespace Ndif.Client.Analyzers.Tests;

/// <summary>Compiles the text of a program with all analyzers of the package.</summary>
internal static class AnalyzedProgram
{
    private const string Usings = """
        global using System; global using System.Collections.Generic; global using System.Linq; global using System.Threading.Tasks;
        global using Ndif;
        """;

    private static readonly MetadataReference[] _references =
    [
        .. ((string)AppContext.GetData("TRUSTED_PLATFORM_ASSEMBLIES")!).Split(Path.PathSeparator)
            .Select(path => MetadataReference.CreateFromFile(path)),
    ];

    private static readonly ImmutableArray<DiagnosticAnalyzer> _analyzers =
    [
        .. typeof(NdifAnalyzer).Assembly.GetTypes().Where(type => type.IsSubclassOf(typeof(NdifAnalyzer)))
            .Select(type => (DiagnosticAnalyzer)Activator.CreateInstance(type)!),
    ];

    /// <summary>The rules that the assembly has.</summary>
    public static IEnumerable<DiagnosticDescriptor> Rules => _analyzers.SelectMany(analyzer => analyzer.SupportedDiagnostics);

    /// <summary>What the analyzers report about the statements of a program that has a model <c>llm</c> and its layers <c>h</c>.</summary>
    /// <param name="compilerErrors">The errors of the compiler that the program has, such as CS0029.</param>
    public static async Task<Diagnostic[]> AnalyzeAsync(string statements, params string[] compilerErrors)
    {
        string program = $"var llm = new LanguageModel(\"model\");\nvar h = llm.Layers;\n{statements}";
        var options = new CSharpParseOptions(LanguageVersion.Latest);
        CSharpCompilation compilation = CSharpCompilation.Create("Program",
            [CSharpSyntaxTree.ParseText(Usings, options), CSharpSyntaxTree.ParseText(program, options)], _references,
            new CSharpCompilationOptions(OutputKind.ConsoleApplication, nullableContextOptions: NullableContextOptions.Enable));
        Assert.Equal(compilerErrors, compilation.GetDiagnostics().Where(d => d.Severity is DiagnosticSeverity.Error).Select(d => d.Id));
        ImmutableArray<Diagnostic> found =
            await compilation.WithAnalyzers(_analyzers).GetAnalyzerDiagnosticsAsync(TestContext.Current.CancellationToken);
        return [.. found.OrderBy(d => d.Location.SourceSpan.Start)];
    }

    /// <summary>The ids of what the analyzers report.</summary>
    public static async Task<string> IdsOfAsync(string statements, params string[] compilerErrors) =>
        string.Join(",", (await AnalyzeAsync(statements, compilerErrors)).Select(d => d.Id));
}
