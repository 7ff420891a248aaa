using Ndif.Protocol;
using Ndif.Tests.Support;
using Ndif.Tests.Support.Service;

namespace Ndif.Language.Tests;

/// <summary>
/// Sessions over two models. The second has the weights of the first under another name, so a session over both gives the numbers of a
/// session over one.
/// </summary>
public sealed class SeveralModelsTests : IAsyncLifetime
{
    private const string Clean = "When Mary and John went to the store, John gave a drink to",
        Corrupt = "When Mary and John went to the store, Mary gave a drink to";

    private readonly TempFolder _folder = new();
    private LoopbackService? _service;

    private static CancellationToken Cancel => TestContext.Current.CancellationToken;

    public static TheoryData<bool> LocalAndRemote => [false, true];

    public async ValueTask InitializeAsync()
    {
        string bundled = Path.Combine(AppContext.BaseDirectory, "Bundled", "tiny-landmarks");
        foreach (string file in Directory.EnumerateFiles(bundled)) File.Copy(file, _folder.File(Path.GetFileName(file)));
        _service = await LoopbackService.StartAsync(ServiceFixture.Model, Cancel, moreModels: [_folder.Path]);
    }

    public async ValueTask DisposeAsync()
    {
        if (_service is not null) await _service.DisposeAsync();
        _folder.Dispose();
    }

    private (LanguageModel First, LanguageModel Second) Open(bool remote)
    {
        Backend backend = remote ? Backend.At(_service!.Address.ToString(), _service.Key) : Backend.Local;
        return (new LanguageModel(ServiceFixture.Model, remote: backend), new LanguageModel(_folder.Path, remote: backend));
    }

    [Theory, MemberData(nameof(LocalAndRemote))]
    public async Task AValue_OfOneModel_IsUsedInAnother_AndBack(bool remote)
    {
        var (first, second) = Open(remote);
        using Session one = first.Session();
        Value hidden;
        Saved expected, expectedNorm;
        using (first.Trace(Clean)) hidden = first.Layers[^2].Hidden[.., ^1, ..];
        using (first.Trace(Corrupt))
        {
            first.Layers[^2].Hidden[.., ^1, ..] = hidden * 2;
            expectedNorm = (hidden.Norm() + first.Layers[^1].Hidden.Norm()).Save();
            expected = first.Logits[0, ^1].Save();
        }
        await one.RunAsync(Cancel);

        using Session two = first.Session();
        Saved patched, norm, back, twice;
        using (first.Trace(Clean)) hidden = first.Layers[^2].Hidden[.., ^1, ..];
        Value doubled = hidden * 2;                             // between the traces
        using (second.Trace(Corrupt))
        {
            second.Layers[^2].Hidden[.., ^1, ..] = doubled;
            Value last = second.Layers[^1].Hidden.Norm();
            patched = second.Logits[0, ^1].Save();
            norm = (hidden.Norm() + last).Save();
        }
        using (first.Trace(Corrupt))
        {
            first.Layers[^2].Hidden[.., ^1, ..] = doubled;
            back = first.Logits[0, ^1].Save();
            twice = (patched * 2).Save();                       // a saved value, while the session is recorded
        }
        await two.RunAsync(Cancel);

        Assert.True(expected.Tensor.SameAs(patched));
        Assert.True(expected.Tensor.SameAs(back));
        Assert.Equal(expectedNorm.Item<float>(), norm.Item<float>());
        Assert.Equal(0, (expected.Tensor * 2).MaxAbsDifference(twice));
    }

    [Theory, MemberData(nameof(LocalAndRemote))]
    public async Task WhatOneModelGenerates_IsThePromptOfAnother(bool remote)
    {
        var (first, second) = Open(remote);
        using var generation = first.Generate("The Eiffel Tower is in", maxNewTokens: 4);
        Saved expected = generation.Result.Save();
        await generation.RunAsync(Cancel);

        using Session session = first.Session();
        Value tokens;
        Saved read;
        using (Trace t = first.Generate("The Eiffel Tower is in", maxNewTokens: 4)) tokens = t.Result;
        using (second.Trace(tokens)) read = second.Embed.Input.Save();
        await session.RunAsync(Cancel);
        Assert.True(expected.Tensor.SameAs(read));
    }

    [Theory, MemberData(nameof(LocalAndRemote))]
    public async Task NumbersAndLists_PassFromModelToModel(bool remote)
    {
        var (first, second) = Open(remote);
        using Session session = first.Session();
        ValueList norms = session.List();
        Value size;
        Saved sum;
        using (first.Trace(Clean))
        {
            size = first.Layers[0].Hidden.Shape[^1];
            foreach (Envoy layer in first.Layers) norms.Append(layer.Hidden.Norm());
        }
        using (second.Trace(Clean)) sum = (norms[0] + norms[^1] + size).Save();
        Saved all = norms.Save(); // of an earlier part of the session
        await session.RunAsync(Cancel);
        object?[] items = (object?[])all.Result!;
        float expected = ((TensorData)items[0]!).Item<float>() + ((TensorData)items[^1]!).Item<float>() + 128;
        Assert.Equal(first.Layers.Count, items.Length);
        Assert.Equal(expected, sum.Item<float>(), 1e-2f);
    }

    [Fact]
    public void WhatCannotPass_IsAnErrorThatSaysWhy()
    {
        var (first, second) = Open(remote: false);
        using Session session = first.Session();
        ValueList list = session.List();
        using (first.Trace(Clean)) list.Append(first.Layers[0].Hidden);
        using (second.Trace(Clean))
        {
            var changed = Assert.Throws<InvalidOperationException>(() => list.Append(second.Layers[0].Hidden));
            Assert.Contains("only where it was created", changed.Message, StringComparison.Ordinal);
        }
        var loop = Assert.Throws<InvalidOperationException>(
            () => session.ForEach([1, 2], _ => first.Trace(Clean).Dispose()));
        Assert.Contains("A loop or branch of a session has traces of one model", loop.Message, StringComparison.Ordinal);
        var program = Assert.Throws<BadProgramException>(session.ToProgram);
        Assert.Equal(ErrorCode.Unsupported, program.Code);
    }

    [Fact]
    public async Task AFailureOfOneModel_EndsTheSession_AndKeepsWhatCameBefore()
    {
        var (first, second) = Open(remote: true);
        using Session session = first.Session();
        Saved before, after;
        using (first.Trace(Clean)) before = first.Logits.Save();
        using (second.Trace(Clean)) after = (second.Layers[0].Hidden + Op.Zeros([3, 7])).Save();
        await Assert.ThrowsAsync<ShapeMismatchException>(() => session.RunAsync(Cancel));
        Assert.True(before.HasValue);
        Assert.False(after.HasValue);
    }

    [Fact]
    public void AModule_OfAnotherModel_IsNotReadInATrace()
    {
        var (first, second) = Open(remote: false);
        using Trace t = first.Trace(Clean);
        var error = Assert.Throws<InvalidOperationException>(() => second.Layers[0].Hidden.Save());
        Assert.Contains(_folder.Path, error.Message, StringComparison.Ordinal);
    }
}
