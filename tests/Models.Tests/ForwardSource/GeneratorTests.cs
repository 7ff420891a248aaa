using Microsoft.CodeAnalysis;
using Microsoft.CodeAnalysis.CSharp;
using Ndif.Models.Generator;

namespace Ndif.Models.Tests.ForwardSource;

/// <summary>The code that the generator produces for a module, and the diagnostics that it reports.</summary>
public sealed class GeneratorTests
{
    private static readonly MetadataReference[] _references =
    [
        .. ((string)AppContext.GetData("TRUSTED_PLATFORM_ASSEMBLIES")!).Split(Path.PathSeparator)
            .Select(path => MetadataReference.CreateFromFile(path)),
    ];

    [Fact]
    public void Operations_AreNamedInTheOrderOfEvaluation_ByPyTorchsNames()
    {
        (string[] rules, string text) = Generate("""
            Tensor turned = hidden.transpose(1, 2).transpose(1, 2);                 // [batch, seq, hidden]
            for (int i = 0; i < 2; i++) turned = turned * 2 + -hidden;
            if (hidden.size(0) > 1) return nn.functional.softmax(turned, -1);
            return cat([turned, Twice(hidden)], -1);
            """);
        Assert.Empty(rules);
        Assert.Equal(["transpose_0", "transpose_1", "mul_0", "neg_0", "add_0", "softmax_0", "twice_0", "cat_0"],
            Names(text, "ForwardSource"));
        Assert.Equal(["add_0"], Names(text, "TwiceSource"));
    }

    [Fact]
    public void WhatIsInALambda_OrIsNoTensor_StaysAsItIs()
    {
        (string[] rules, string text) = Generate("""
            System.Func<Tensor, Tensor> later = x => x.relu();
            long width = hidden.size(2);
            return later(hidden).view(-1, width);
            """);
        Assert.Empty(rules);
        Assert.Equal(["later_0", "view_0"], Names(text, "ForwardSource"));
    }

    [Fact]
    public void Shapes_AreReadFromComments_AndFollowedThroughTheCode()
    {
        (_, string text) = Generate("""
            Tensor heads = hidden.view(1, 2, 3, 4);             // [batch, seq, heads, headDim]
            Tensor turned = heads.transpose(1, 2);
            Tensor unknown = hidden.view(1, 24);
            return turned * 2;
            """);
        Assert.Contains("\"transpose_0\", 13, \"[batch, heads, seq, headDim]\"", text, StringComparison.Ordinal);
        Assert.Contains("\"view_1\", 14, \"?\"", text, StringComparison.Ordinal);
        Assert.Contains("\"mul_0\", 15, \"[batch, heads, seq, headDim]\"", text, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("NDIF002", "Tensor turned = hidden.transpose(1, 2);    // [batch, seq, hidden]\nreturn turned;")]
    [InlineData("NDIF002", "return (hidden + 1).unsqueeze(0);   // [batch, seq, hidden, 1]")]
    [InlineData("NDIF003", "Tensor a = SourceLabel.Of(\"q\", hidden);\nreturn SourceLabel.Of(\"q\", a);")]
    public void AMistake_IsToldAtBuildTime(string rule, string body) => Assert.Equal([rule], Generate(body).Rules);

    [Fact]
    public void AModuleThatIsNotPartial_IsAnError() => Assert.Equal(["NDIF001"], Generate("return hidden;", "").Rules);

    [Fact]
    public void OfASharedLayer_OperationsAndLines_HaveTheConditionsOnFieldsUnderWhichTheyRun()
    {
        (string[] rules, string text) = Generate("""
            if (_scale is not null) hidden = hidden * 2;
            else hidden = hidden + 1;
            if (hidden.size(0) > 1) return hidden;
            if (_isPlain) return hidden.cos();
            return Twice(hidden);
            """, "partial", "[Ndif.Models.ForwardSource.SharedLayer]");
        Assert.Empty(rules);
        Assert.Contains("\"mul\", false, [0])", text, StringComparison.Ordinal);
        Assert.Contains("\"add\", false, [-1])", text, StringComparison.Ordinal);
        Assert.Contains("\"cos\", false, [1])", text, StringComparison.Ordinal);
        Assert.Contains("\"twice\", false, [-2])", text, StringComparison.Ordinal);
        Assert.Contains("\"hidden = hidden * 2;\", 12, [0])", text, StringComparison.Ordinal);
        Assert.Contains("static m => (((global::Test.Thing)m)._scale is not null)", text, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("int count = 2;", true)]                    // inside of a method of a class that is not partial
    [InlineData("return 2; } int Other() { int count = 1;", false)] // another member
    public void AnEditElsewhere_RunsTheGeneratorAgain_OnlyIfDeclarationsChange(string edit, bool isKept)
    {
        SyntaxTree module = Parse("Tensor twice = hidden * 2; return twice;", "partial", ""), other = ParseOther("int count = 1;");
        CSharpCompilation compilation = Compile(module, other);
        GeneratorDriver driver = CSharpGeneratorDriver.Create([new ModelSourceGenerator().AsSourceGenerator()], parseOptions: _options,
            driverOptions: new GeneratorDriverOptions(default, trackIncrementalGeneratorSteps: true));
        driver = driver.RunGenerators(compilation, TestContext.Current.CancellationToken);
        driver = driver.RunGenerators(compilation.ReplaceSyntaxTree(other, ParseOther(edit)), TestContext.Current.CancellationToken);
        var reason = driver.GetRunResult().Results[0].TrackedSteps[ModelSourceGenerator.ModulesStep].Single().Outputs.Single().Reason;
        Assert.Equal(isKept ? IncrementalStepRunReason.Unchanged : IncrementalStepRunReason.Modified, reason);

        static SyntaxTree ParseOther(string body) =>
            CSharpSyntaxTree.ParseText($"class Other {{ int Get() {{ {body} return count; }} }}", _options, "Other.cs");
    }

    private static readonly CSharpParseOptions _options = new(LanguageVersion.Latest);

    private static (string[] Rules, string Text) Generate(string body, string partial = "partial", string attribute = "")
    {
        CSharpGeneratorDriver.Create([new ModelSourceGenerator().AsSourceGenerator()], parseOptions: _options)
            .RunGeneratorsAndUpdateCompilation(Compile(Parse(body, partial, attribute)), out Compilation whole, out var diagnostics,
                TestContext.Current.CancellationToken);
        Assert.Empty(whole.GetDiagnostics(TestContext.Current.CancellationToken).Where(d => d.Severity is DiagnosticSeverity.Error));
        return ([.. diagnostics.Select(d => d.Id)], string.Concat(whole.SyntaxTrees.Skip(1)));
    }

    private static SyntaxTree Parse(string body, string partial, string attribute) => CSharpSyntaxTree.ParseText($$"""
        using Ndif.Models; using Ndif.Models.ForwardSource;
        using static TorchSharp.torch;
        namespace Test;

        {{attribute}}public sealed {{partial}} class Thing : SiteModule
        {
            public override object? Run(Arguments arguments) => Forward(arguments.Tensor(0));

            private Tensor Forward(Tensor hidden)
            {
                {{"\n" + body}}
            }

            private readonly object? _scale = null;
            private readonly bool _isPlain = false;

            private Tensor Twice(Tensor x) => x + x;
        }
        """, _options, "Thing.cs", cancellationToken: TestContext.Current.CancellationToken);

    private static CSharpCompilation Compile(params SyntaxTree[] trees) => CSharpCompilation.Create("Test", trees, _references,
        new CSharpCompilationOptions(OutputKind.DynamicallyLinkedLibrary, nullableContextOptions: NullableContextOptions.Enable));

    private static string[] Names(string text, string table)
    {
        string rows = text[text.IndexOf($"{table} = new(", StringComparison.Ordinal)..];
        rows = rows[..rows.IndexOf("]);", StringComparison.Ordinal)];
        return [.. rows.Split('\n').Skip(2).Where(l => l.Contains("new(\"", StringComparison.Ordinal)).Select(l => l.Split('"')[1])];
    }
}
