using Ndif.Protocol;

namespace Ndif.Language.Tests;

/// <summary>
/// The inputs of a language model: nnsight's token tests (test_lm.py, test_0516_features.py, test_serve.py, test_vllm.py).
/// </summary>
public sealed class InputTests(ServiceFixture service) : LanguageTests(service)
{
    private static readonly int[] _one = [1];

    private static TensorData Ids(LanguageModel llm, string prompt) =>
        TensorData.FromArray(llm.Tokenizer.Encode(prompt).Select(id => (long)id).ToArray(), 1, llm.Tokenizer.Encode(prompt).Count);

    [Theory, MemberData(nameof(Modes))]
    [PortedFrom("test_serve/TestTokenInputs.test_token_id_list", "test_vllm/TestTokenInputs.test_single_token_list",
        "test_lm/TestInvokerBatching.test_token_ids_batching")]
    public async Task TokenIds_InEveryForm_AreTheirText(ExecutionMode mode)
    {
        LanguageModel llm = Model(mode);
        TensorData expected = await LogitsAsync(llm, Paris);
        int[] ids = [.. llm.Tokenizer.Encode(Paris)];
        long[] wide = Array.ConvertAll(ids, id => (long)id);
        using TorchSharp.torch.Tensor tensor = TorchSharp.torch.tensor(wide);
        object[] forms =
        [
            ids, wide, ids.ToList(), wide.ToList(), new int[][] { ids }, new long[][] { wide }, new List<List<int>> { ids.ToList() },
            TensorData.FromArray(wide), Ids(llm, Paris), tensor, new TokenInput(Ids(llm, Paris)),
            new TokenInput(Ids(llm, Paris), TensorData.Ones([1, 8], DType.Int64)),
            new Dictionary<string, object> { ["input_ids"] = ids },
        ];
        foreach (object form in forms) Same(expected, await LogitsAsync(llm, form));
        Saved several = await LogitsAsync(llm, new int[][] { [.. llm.Tokenizer.Encode("Hello")], ids });
        Near(expected[0, ^1], several.Tensor[1, ^1]);
    }

    [Theory, MemberData(nameof(Modes))]
    [PortedFrom("test_serve/TestTokenInputs.test_hf_tokenizer_dict", "test_vllm/TestTokenInputs.test_hf_tokenizer_dict_single",
        "test_vllm/TestTokenInputs.test_dict_input_ids_without_attention_mask",
        "test_vllm/TestTokenInputs.test_dict_input_ids_tensor_without_attention_mask",
        "test_vllm/TestTokenInputs.test_dict_input_ids_with_attention_mask")]
    public async Task ADictionaryOfATokenizer_IsAnInput_WithAndWithoutAMask(ExecutionMode mode)
    {
        LanguageModel llm = Model(mode);
        TensorData expected = await LogitsAsync(llm, Paris);
        int[] padded = [0, 0, .. llm.Tokenizer.Encode(Paris)], mask = [0, 0, .. Enumerable.Repeat(1, 8)];
        Same(expected, await LogitsAsync(llm, new Dictionary<string, int[]> { ["input_ids"] = padded[2..] }));
        Same(expected, await LogitsAsync(llm, new Dictionary<string, TensorData> { ["input_ids"] = Ids(llm, Paris) }));
        Saved masked = await LogitsAsync(llm, new Dictionary<string, int[]> { ["input_ids"] = padded, ["attention_mask"] = mask });
        Near(expected[0, ^1], masked.Tensor[0, ^1]);
        Assert.Equal(10, masked.Tensor.Shape[1]);
    }

    [Theory, MemberData(nameof(Modes))]
    [PortedFrom("test_0516_features/TestKeywordOnlyTraceArgs.test_input_ids_keyword_only",
        "test_0516_features/TestKeywordOnlyTraceArgs.test_attention_mask_keyword")]
    public async Task InputIdsAndMask_AreKeywords_WithoutAnInvoke(ExecutionMode mode)
    {
        LanguageModel llm = Model(mode);
        TensorData expected = await LogitsAsync(llm, Paris);
        using Trace plain = llm.Trace(inputIds: Ids(llm, Paris));
        Saved logits = llm.LmHead.Output.Save();
        await plain.RunAsync(Cancel);
        Same(expected, logits);
        using Trace masked =
            llm.Trace(inputIds: (int[][])[[7, .. llm.Tokenizer.Encode(Paris)]], attentionMask: (int[][])[[0, 1, 1, 1, 1, 1, 1, 1, 1]]);
        Saved last = llm.LmHead.Output[0, ^1].Save();
        await masked.RunAsync(Cancel);
        Near(expected[0, ^1], last);
        using Trace generated = llm.Generate(inputIds: llm.Tokenizer.Encode(Paris), maxNewTokens: 1);
        Saved ids = generated.Result.Save();
        await generated.RunAsync(Cancel);
        Assert.EndsWith(" Paris", llm.Tokenizer.Decode(ids), StringComparison.Ordinal);
    }

    [Theory, MemberData(nameof(Modes))]
    [PortedFrom("test_serve/TestTokenInputs.test_token_ids_in_invoker", "test_vllm/TestTokenInputs.test_token_list_in_invoker",
        "test_vllm/TestTokenInputs.test_mixed_string_and_token_invokers")]
    public async Task InvokesOfTextAndOfTokenIds_AreMixed(ExecutionMode mode)
    {
        LanguageModel llm = Model(mode);
        using Trace t = llm.Trace();
        Saved text, ids, masked;
        using (t.Invoke(Paris)) text = llm.LmHead.Output[0, ^1].Save();
        using (t.Invoke(llm.Tokenizer.Encode(Paris))) ids = llm.LmHead.Output[0, ^1].Save();
        using (t.Invoke(inputIds: Ids(llm, Paris), attentionMask: TensorData.Ones([1, 8], DType.Int64)))
            masked = llm.LmHead.Output[0, ^1].Save();
        await t.RunAsync(Cancel);
        Near(text, ids);
        Near(text, masked);
    }

    [Theory, MemberData(nameof(Modes))]
    public async Task Forward_IsThePlainPass(ExecutionMode mode)
    {
        LanguageModel llm = Model(mode);
        Saved output = await llm.ForwardAsync(Paris, cancellationToken: Cancel);
        Saved ids = await llm.ForwardAsync(inputIds: Ids(llm, Paris), cancellationToken: Cancel);
        Assert.Equal(" Paris", Next(llm, ((Saved)output["logits"]).Tensor));
        Same(((Saved)output["logits"]).Tensor, ((Saved)ids["logits"]).Tensor);
        using TinyNet net = new();
        Same(net.Plain(), await net.Model.ForwardAsync(net.Input));
    }

    [Theory, MemberData(nameof(Modes))]
    [PortedFrom("test_0516_features/TestExceptionHandling.test_empty_prompt_error_message")]
    public void AnInputWithoutTokens_IsRefused(ExecutionMode mode)
    {
        LanguageModel llm = Model(mode);
        foreach (object empty in (object[])["", Array.Empty<int>(), new[] { "Hello", "" },
            new Dictionary<string, int[]> { ["input_ids"] = [] }])
        {
            NdifException refused = Assert.Throws<NdifException>(() => llm.Trace(empty));
            Assert.Equal(ErrorCode.BadInput, refused.Code);
            Assert.Contains("Pass a prompt that is not empty", refused.Message, StringComparison.Ordinal);
        }
    }

    [Theory, MemberData(nameof(Modes))]
    public void AnInputOfAnotherKind_IsRefused_WithWhatWouldDo(ExecutionMode mode)
    {
        LanguageModel llm = Model(mode);
        Assert.Contains("not Double", Assert.Throws<ArgumentException>(() => llm.Trace(3.5)).Message, StringComparison.Ordinal);
        Assert.Contains("Did you mean `input_ids`",
            Assert.Throws<ArgumentException>(() => llm.Trace(new Dictionary<string, int[]> { ["inputs_ids"] = [1] })).Message,
            StringComparison.Ordinal);
        Assert.Contains("not both", Assert.Throws<ArgumentException>(() => llm.Trace(Paris, inputIds: _one)).Message,
            StringComparison.Ordinal);
        Assert.Contains("goes with token ids", Assert.Throws<ArgumentException>(() => llm.Trace(Paris, attentionMask: _one)).Message,
            StringComparison.Ordinal);
        Assert.Contains("of one length",
            Assert.Throws<ArgumentException>(() => llm.Trace(inputIds: (int[][])[[1], [1, 2]], attentionMask: (int[][])[[1], [1, 1]]))
            .Message, StringComparison.Ordinal);
    }
}
