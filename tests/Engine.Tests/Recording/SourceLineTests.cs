using System.Runtime.CompilerServices;
using Ndif.Protocol;

namespace Ndif.Engine.Tests.Recording;

/// <summary>Every node has the user's source line that recorded it.</summary>
public sealed class SourceLineTests : IDisposable
{
    private static readonly int[] _prompt = [1];
    private static readonly string[] _names = ["a"];

    private readonly TempFolder _folder = new();
    private readonly LanguageModel _model;

    public SourceLineTests()
    {
        _folder.Write("config.json", TinyModel.GPT2());
        _model = new LanguageModel(_folder.Path, remote: Backend.Local);
    }

    public void Dispose() => _folder.Dispose();

    private static int Line([CallerLineNumber] int line = 0) => line;

    /// <summary>The lines and members of the nodes that an experiment records.</summary>
    private List<(int Line, string Member)> Record(Action<Trace> experiment)
    {
        using Trace t = _model.Trace(_prompt);
        experiment(t);
        Program program = t.ToProgram();
        Assert.All(program.Lines, line => Assert.Equal("SourceLineTests.cs", line.File));
        return [.. program.Nodes.Where(n => n.KindCase is not Node.KindOneofCase.Trace).Select(n => program.Lines[(int)n.Line - 1])
            .Select(l => ((int)l.Line, l.Member))];
    }

    [Fact]
    public void PropertiesOperatorsIndexersAndMethods_HaveTheirLines()
    {
        int line = 0;
        var lines = Record(t =>
        {
            line = Line();
            Value hidden = _model.Layers[0].Hidden;
            Value sum = hidden + 1;
            Value last = sum[.., ^1];
            sum[0] = 2;
            _model.Layers[0].Hidden = sum;
            _model.Layers[1].Hidden *= 2;
            last.Save();
            t.Log(last);
            t.Stop();
        });
        Assert.Equal([1, 2, 3, 4, 5, 6, 6, 6, 7, 8, 9], lines.Select(l => l.Line - line));
        Assert.All(lines, l => Assert.Equal(nameof(PropertiesOperatorsIndexersAndMethods_HaveTheirLines), l.Member));
    }

    [Fact]
    public void HelpersAndLambdas_HaveTheLineInside_AndTheirNames()
    {
        var lines = Record(_ =>
        {
            Value hidden = _model.Layers[0].Hidden;
            Value[] doubled = [.. new[] { hidden }.Select(h => h * 2)];
            Half(doubled[0]);
            Local(hidden);

            static Value Local(Value value) => value * 3;
        });
        Assert.Equal(
            [nameof(HelpersAndLambdas_HaveTheLineInside_AndTheirNames), nameof(HelpersAndLambdas_HaveTheLineInside_AndTheirNames),
                nameof(Half), nameof(HelpersAndLambdas_HaveTheLineInside_AndTheirNames)],
            lines.Select(l => l.Member));
        Assert.Equal(_half, lines[2].Line);
    }

    private static readonly int _half = Line() + 2;

    private static Value Half(Value value) => value / 2;

    [Fact]
    public void MethodGroupsThatTheFrameworkCalls_HaveTheUsersLines()
    {
        int line = 0;
        var lines = Record(t =>
        {
            Value hidden = _model.Layers[0].Hidden;
            line = Line();
            _ = _names.Select<string, Saved>(hidden.Save).ToArray();
            _ = _names.Select(name => $"{name}2").Select<string, Saved>(hidden.Save).ToArray();
        });
        Assert.Equal([line + 1, line + 2], lines[1..].Select(l => l.Line));
    }

    [Fact]
    public async Task AsyncMethods_HaveTheirNames()
    {
        using Trace t = _model.Trace(_prompt);
        await Task.Yield();
        int line = Line() + 1;
        _model.Layers[0].Hidden.Save();
        Program program = t.ToProgram();
        SourceLine recorded = program.Lines[(int)program.Nodes[1].Line - 1];
        Assert.Equal(("SourceLineTests.cs", (uint)line, nameof(AsyncMethods_HaveTheirNames)),
            (recorded.File, recorded.Line, recorded.Member));
    }

    [Fact]
    public void ATrace_HasTheLineWhereItWasOpened()
    {
        int line = Line() + 1;
        using Trace t = _model.Trace(_prompt);
        _model.Layers[0].Hidden.Save();
        Program program = t.ToProgram();
        Assert.Equal((uint)line, program.Lines[(int)program.Nodes[^1].Line - 1].Line);
    }

    [Fact]
    public void NoFolder_Travels() => Assert.All(Record(_ => _model.Layers[0].Hidden.Save()), l => Assert.DoesNotContain('/', l.Member));
}
