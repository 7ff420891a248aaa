using Ndif.Engine.Tests.Support;
using Ndif.Protocol;


namespace Ndif.Engine.Tests.Local;

/// <summary>Scans, which infer shapes without weights, through all stages of a run.</summary>
public sealed class ScanTests : IDisposable
{
    private static readonly int[] _prompt = [3, 1, 4];

    private readonly EngineFixture _gpt2 = EngineFixture.GPT2(), _llama = EngineFixture.Llama();

    public void Dispose()
    {
        _gpt2.Dispose();
        _llama.Dispose();
    }

    [Fact]
    public async Task AScan_GivesTheShapesOfARun()
    {
        foreach (EngineFixture fixture in (EngineFixture[])[_gpt2, _llama])
        {
            LanguageModel model = fixture.Model;
            List<string> shapes = [];
            foreach (bool scan in (bool[])[true, false])
            {
                using Trace t = scan ? model.Scan(_prompt) : model.Trace(_prompt);
                Value hidden = model.Layers[0].Hidden;
                Saved first = hidden.Shape.Save();
                hidden[.., 1] = 0;
                Value noise = Op.Randn([3, 16]);
                Saved sum = (hidden + noise).Shape.Save(), logits = model.Logits[.., ^1].Shape.Save();
                await t.RunAsync(TestContext.Current.CancellationToken);
                shapes.Add($"{first} {sum} {logits}");
            }
            Assert.Equal(shapes[1], shapes[0]);
        }
    }

    [Fact]
    public async Task AShapeError_IsFoundByAScan()
    {
        using Trace t = _gpt2.Model.Scan(_prompt);
        _gpt2.Model.Layers[0].Hidden = _gpt2.Model.Layers[0].Hidden[.., 1..];
        ShapeMismatchException thrown =
            await Assert.ThrowsAsync<ShapeMismatchException>(() => t.RunAsync(TestContext.Current.CancellationToken));
        Assert.Equal(ErrorCode.ShapeMismatch, thrown.Code);
    }
}
