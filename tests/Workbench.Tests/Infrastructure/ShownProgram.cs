using System.Reflection;
using System.Runtime.Loader;
using Microsoft.CodeAnalysis;
using Microsoft.CodeAnalysis.CSharp;
using Microsoft.CodeAnalysis.Emit;

namespace Ndif.Workbench.Tests.Infrastructure;

/// <summary>Compiles a program that a page shows, and runs it in this process.</summary>
internal static class ShownProgram
{
    private const string ImplicitUsings = """
        global using System; global using System.Collections.Generic; global using System.IO; global using System.Linq;
        global using System.Net.Http; global using System.Threading; global using System.Threading.Tasks;
        """;

    /// <summary>Runs a program to its end, without the lines that name its packages.</summary>
    /// <returns>What it wrote to the console.</returns>
    public static string Run(string text)
    {
        string code = string.Join('\n', text.Split('\n').Where(line => !line.StartsWith("#:", StringComparison.Ordinal)));
        MethodInfo main = Compile(code).EntryPoint!;
        TextWriter console = Console.Out;
        var written = new StringWriter();
        Console.SetOut(TextWriter.Synchronized(written));
        try
        {
            main.Invoke(null, main.GetParameters().Length == 0 ? null : [Array.Empty<string>()]);
            return written.ToString();
        }
        finally
        {
            Console.SetOut(console);
        }
    }

    private static Assembly Compile(string code)
    {
        IEnumerable<MetadataReference> references = ((string)AppContext.GetData("TRUSTED_PLATFORM_ASSEMBLIES")!).Split(Path.PathSeparator)
            .Select(file => MetadataReference.CreateFromFile(file));
        var compilation = CSharpCompilation.Create($"Shown{Guid.NewGuid():N}",
            [
                CSharpSyntaxTree.ParseText(ImplicitUsings),
                CSharpSyntaxTree.ParseText(code, path: "shown.cs", encoding: System.Text.Encoding.UTF8),
            ],
            references, new CSharpCompilationOptions(OutputKind.ConsoleApplication, nullableContextOptions: NullableContextOptions.Enable));
        using var assembly = new MemoryStream();
        EmitResult result = compilation.Emit(assembly);
        Assert.True(result.Success, $"{string.Join('\n', result.Diagnostics.Where(d => d.Severity == DiagnosticSeverity.Error))}\n{code}");
        assembly.Position = 0;
        return AssemblyLoadContext.Default.LoadFromStream(assembly);
    }
}
