using System.Text.Json;
using Ndif.Cli.Parity;
using Ndif.Models.Files;
using static TorchSharp.torch;

namespace Ndif.Cli.Tests.Parity;

public sealed class ParityRunnerTests(ITestOutputHelper output)
{
    [Theory]
    [InlineData("gpt2")]
    [InlineData("mistral")]
    [InlineData("qwen2")]
    [InlineData("qwen3")]
    [InlineData("olmo2")]
    [InlineData("phi3")]
    [InlineData("starcoder2")]
    [InlineData("stablelm")]
    [InlineData("mixtral")]
    [InlineData("qwen2_moe")]
    [InlineData("qwen3_moe")]
    [InlineData("llama")]
    [InlineData("llama3")]
    [InlineData("gpt_neox")]
    [InlineData("gpt_neox_seq")]
    [InlineData("gemma")]
    [InlineData("gemma2")]
    [InlineData("gpt_neo")]
    [InlineData("gptj")]
    [InlineData("phi")]
    [InlineData("falcon")]
    [InlineData("gemma3_text")]
    [InlineData("bloom")]
    public void Checkpoint_GivesWhatHuggingFaceGives(string name)
    {
        long before = Tensor.TotalCount;
        (int exit, string table) = Run(Golden(name), json: false);
        output.WriteLine(table);
        Assert.True(exit == 0, table);
        Assert.InRange(Tensor.TotalCount, 0, before); // the finalizer can reduce the count by tensors of earlier tests
    }

    [Fact]
    public void Json_IsOneArray_WithEveryFigure()
    {
        (int exit, string text) = Run(Golden("llama"), json: true, (_, _) => throw new NotSupportedException("no tokenizer"));
        Assert.Equal(1, exit);
        JsonElement result = Assert.Single(JsonDocument.Parse(text).RootElement.EnumerateArray());
        Assert.Equal(
            ["name", "architecture", "passed", "logits", "hidden", "calls", "batch", "gradients", "greedy", "tree", "tokenizer", "error"],
            result.EnumerateObject().Select(p => p.Name));
        Assert.False(result.GetProperty("passed").GetBoolean());
        Assert.Contains("no tokenizer", result.GetProperty("error").GetString(), StringComparison.Ordinal);
        Assert.InRange(result.GetProperty("gradients").GetDouble(), 0, 1e-4);
    }

    [Fact]
    public void AChangedWeight_IsNoticedEverywhere()
    {
        string folder = Copy("gpt2", "model.safetensors");
        using (var scope = NewDisposeScope())
        {
            using SafetensorsFile file = SafetensorsFile.Open(Path.Combine(Golden("gpt2"), "model.safetensors"));
            Dictionary<string, Tensor> weights = file.Entries.Keys.ToDictionary(name => name, file.Read);
            weights["transformer.h.0.mlp.c_fc.bias"][3] += 0.05f;
            SafetensorsWriter.Write(Path.Combine(folder, "model.safetensors"), weights);
            foreach (Tensor weight in weights.Values) weight.Dispose();
        }
        (int exit, string text) = Run(folder, json: true);
        JsonElement result = JsonDocument.Parse(text).RootElement[0];
        Assert.Equal(1, exit);
        foreach (string figure in (string[])["logits", "hidden", "calls", "batch", "gradients"])
            Assert.True(result.GetProperty(figure).GetDouble() > 2e-4, $"{figure}: {text}");
        Directory.Delete(folder, recursive: true);
    }

    [Fact]
    public void ACheckpointThatCannotBeLoaded_IsOneFailedLine_AndTheOthersAreCompared()
    {
        string parent = Directory.CreateTempSubdirectory("ndif-parity-").FullName;
        Directory.Move(Copy("llama", "model.safetensors"), Path.Combine(parent, "broken"));
        Directory.Move(Copy("llama"), Path.Combine(parent, "whole"));
        (int exit, string text) = Run(parent, json: true);
        JsonElement[] results = [.. JsonDocument.Parse(text).RootElement.EnumerateArray()];
        Assert.Equal(1, exit);
        Assert.Equal([false, true], results.Select(r => r.GetProperty("passed").GetBoolean()));
        Assert.Contains("model.safetensors", results[0].GetProperty("error").GetString(), StringComparison.Ordinal);
        Directory.Delete(parent, recursive: true);
    }

    [Fact]
    public void AFolderWithoutCheckpoints_IsSaid()
    {
        using StringWriter table = new(), errors = new();
        Assert.Equal(2, ParityRunner.Run("no-such-folder", json: true, table, errors, null, TestContext.Current.CancellationToken));
        Assert.Equal("[]", table.ToString().Trim());
        Assert.Contains("no-such-folder has no checkpoint", errors.ToString(), StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("fp8_block_qwen3")]
    [InlineData("fp8_block_partial")]
    [InlineData("gptq_llama")]
    [InlineData("gptq_act_order")]
    [InlineData("awq_llama")]
    [InlineData("ct_int4_llama")]
    [InlineData("ct_fp8_llama")]
    [InlineData("gguf_llama")]
    [InlineData("gguf_gpt2")]
    [InlineData("gguf_k_quants")]
    [InlineData("llama_bf16_sharded")]
    [InlineData("llama_pickle")]
    [InlineData("gpt2_old_pickle")]
    [InlineData("mxfp4_gpt_oss")]
    public void Form_GivesWhatTheDequantizedModelGives(string form)
    {
        string? folder = SharedFolder.Find("golden2", "forms", form);
        Assert.SkipWhen(folder is null, SharedFolder.MissingReason);
        (int exit, string table) = Run(folder, json: false);
        output.WriteLine(table);
        Assert.True(exit == 0, table);
    }

    /// <summary>
    /// Calls of one module whose order Hugging Face leaves to a set, with results of different shapes; a residual stream that the final
    /// norm does not have.
    /// </summary>
    [Theory]
    [InlineData("gemma4_text")]
    [InlineData("gemma3n_text")]
    public void Checkpoint_WithLayersOfTwoKinds_GivesWhatHuggingFaceGives(string name)
    {
        string? folder = SharedFolder.Find("golden2", name);
        Assert.SkipWhen(folder is null, SharedFolder.MissingReason);
        (int exit, string table) = Run(folder, json: false);
        output.WriteLine(table);
        Assert.True(exit == 0, table);
    }

    private static string Golden(string name)
    {
        Assert.SkipWhen(SharedFolder.Golden is null, "there are no reference outputs here (NDIF_SHARED)");
        return Path.Combine(SharedFolder.Golden!, name);
    }

    /// <summary>Copies the folder of a checkpoint without some of its files.</summary>
    private static string Copy(string name, params string[] without)
    {
        string folder = Directory.CreateTempSubdirectory("ndif-parity-").FullName;
        foreach (string file in Directory.EnumerateFiles(Golden(name)).Where(f => !without.Contains(Path.GetFileName(f))))
            File.Copy(file, Path.Combine(folder, Path.GetFileName(file)));
        return folder;
    }

    private static (int Exit, string Text) Run(string folder, bool json, Func<string, string, IReadOnlyList<int>>? tokenize = null)
    {
        using StringWriter text = new(), errors = new();
        int exit = ParityRunner.Run(folder, json, text, errors, tokenize, TestContext.Current.CancellationToken);
        Assert.Equal("", errors.ToString());
        return (exit, text.ToString());
    }
}
