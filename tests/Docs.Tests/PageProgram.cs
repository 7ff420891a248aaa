using System.Collections.Immutable;
using System.Reflection;
using System.Runtime.Loader;
using Microsoft.CodeAnalysis;
using Microsoft.CodeAnalysis.CSharp;
using Microsoft.CodeAnalysis.Diagnostics;
using Microsoft.CodeAnalysis.Emit;
using Ndif.Client.Analyzers;

namespace Ndif.Docs.Tests;

/// <summary>Compiles the text of a program and runs it in this process, with the usings that a project has by default.</summary>
internal static class PageProgram
{
    private const string ImplicitUsings = """
        global using System; global using System.Collections.Generic; global using System.IO; global using System.Linq;
        global using System.Net.Http; global using System.Threading; global using System.Threading.Tasks;
        """;

    private static readonly MetadataReference[] _references =
    [
        .. ((string)AppContext.GetData("TRUSTED_PLATFORM_ASSEMBLIES")!).Split(Path.PathSeparator)
            .Select(f => MetadataReference.CreateFromFile(f)),
    ];

    /// <summary>Runs a program to its end.</summary>
    /// <returns>The output and the exception; null if the program succeeded.</returns>
    public static (string Output, Exception? Failure) Run(string name, string text)
    {
        MethodInfo main = Compile(name, text).EntryPoint!;
        TextWriter console = Console.Out, errors = Console.Error;
        var written = new StringWriter();
        TextWriter output = TextWriter.Synchronized(written); // events arrive on other threads
        Console.SetOut(output);
        Console.SetError(output);
        try
        {
            main.Invoke(null, main.GetParameters().Length == 0 ? null : [Array.Empty<string>()]);
            return (written.ToString(), null);
        }
        catch (TargetInvocationException e)
        {
            return (written.ToString(), e.InnerException);
        }
        finally
        {
            Console.SetOut(console);
            Console.SetError(errors);
        }
    }

    /// <summary>What the analyzers of the package report about a program.</summary>
    public static async Task<IEnumerable<string>> AnalyzeAsync(string name, string text, CancellationToken cancellationToken)
    {
        ImmutableArray<DiagnosticAnalyzer> analyzers =
        [
            .. typeof(NdifAnalyzer).Assembly.GetTypes().Where(type => type.IsSubclassOf(typeof(NdifAnalyzer)))
                .Select(type => (DiagnosticAnalyzer)Activator.CreateInstance(type)!),
        ];
        CompilationWithAnalyzers compilation = NewCompilation(name, text).WithAnalyzers(analyzers);
        return (await compilation.GetAnalyzerDiagnosticsAsync(cancellationToken)).Select(d => d.ToString());
    }

    private static CSharpCompilation NewCompilation(string name, string text)
    {
        var options = new CSharpParseOptions(LanguageVersion.Preview);
        return CSharpCompilation.Create($"Page.{name}",
            [
                CSharpSyntaxTree.ParseText(ImplicitUsings, options),
                CSharpSyntaxTree.ParseText(text, options, path: $"{name}.cs", encoding: System.Text.Encoding.UTF8),
            ],
            _references,
            new CSharpCompilationOptions(OutputKind.ConsoleApplication, nullableContextOptions: NullableContextOptions.Enable));
    }

    private static Assembly Compile(string name, string text)
    {
        using MemoryStream assembly = new(), symbols = new();
        var portable = new EmitOptions(debugInformationFormat: DebugInformationFormat.PortablePdb);
        EmitResult result = NewCompilation(name, text).Emit(assembly, symbols, options: portable);
        IEnumerable<string> errors = result.Diagnostics.Where(d => d.Severity == DiagnosticSeverity.Error).Select(d => d.ToString());
        Assert.True(result.Success, $"{name} does not compile:\n{string.Join('\n', errors)}\n{text}");
        (assembly.Position, symbols.Position) = (0, 0);
        return AssemblyLoadContext.Default.LoadFromStream(assembly, symbols);
    }
}
