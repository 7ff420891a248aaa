using Microsoft.CodeAnalysis;
using Microsoft.CodeAnalysis.CSharp;
using Ndif.Models.Source;

namespace Ndif.Models.Tests.ForwardSource;

/// <summary>What the generator makes of a module, and what it tells its author.</summary>
public sealed class GeneratorTests
{
    private static readonly MetadataReference[] _references =
    [
        .. ((string)AppContext.GetData("TRUSTED_PLATFORM_ASSEMBLIES")!).Split(Path.PathSeparator).Select(path => MetadataReference.CreateFromFile(path)),
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
        Assert.Equal(["transpose_0", "transpose_1", "mul_0", "neg_0", "add_0", "softmax_0", "twice_0", "cat_0"], Names(text, "ForwardSource"));
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

    private static (string[] Rules, string Text) Generate(string body, string partial = "partial")
    {
        SyntaxTree tree = CSharpSyntaxTree.ParseText($$"""
            using Ndif.Models;
            using static TorchSharp.torch;
            namespace Test;

            public sealed {{partial}} class Thing : SiteModule
            {
                public override object? Run(Arguments arguments) => Forward(arguments.Tensor(0));

                private Tensor Forward(Tensor hidden)
                {
                    {{"\n" + body}}
                }

                private Tensor Twice(Tensor x) => x + x;
            }
            """, new CSharpParseOptions(LanguageVersion.Latest), "Thing.cs", cancellationToken: TestContext.Current.CancellationToken);
        var compilation = CSharpCompilation.Create("Test", [tree], _references, new CSharpCompilationOptions(OutputKind.DynamicallyLinkedLibrary, nullableContextOptions: NullableContextOptions.Enable));
        CSharpGeneratorDriver.Create([new ModelSourceGenerator().AsSourceGenerator()], parseOptions: new CSharpParseOptions(LanguageVersion.Latest))
            .RunGeneratorsAndUpdateCompilation(compilation, out Compilation whole, out var diagnostics, TestContext.Current.CancellationToken);
        Assert.Empty(whole.GetDiagnostics(TestContext.Current.CancellationToken).Where(d => d.Severity is DiagnosticSeverity.Error));
        return ([.. diagnostics.Select(d => d.Id)], string.Concat(whole.SyntaxTrees.Skip(1)));
    }

    private static string[] Names(string text, string table)
    {
        string rows = text[text.IndexOf($"{table} = new(", StringComparison.Ordinal)..];
        rows = rows[..rows.IndexOf("]);", StringComparison.Ordinal)];
        return [.. rows.Split('\n').Skip(2).Where(l => l.Contains("new(\"", StringComparison.Ordinal)).Select(l => l.Split('"')[1])];
    }
}
