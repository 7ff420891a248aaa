using System.Globalization;
using System.Text;
using System.Text.Json.Nodes;
using CsCheck;
using Ndif.Models.Architectures;
using Ndif.Models.Files;
using Ndif.Models.Loading;
using static TorchSharp.torch;
using Tensor = TorchSharp.torch.Tensor;

namespace Ndif.Models.Tests.Files;

/// <summary>
/// Files that are malicious or damaged: they cause a typed error or a valid result, no other exception, and no more memory than their
/// size justifies. NDIF_FUZZ=100 runs a hundred times as many.
/// </summary>
public sealed class HostileFileTests : IDisposable
{
    private static readonly int _iterationFactor =
        int.Parse(Environment.GetEnvironmentVariable("NDIF_FUZZ") ?? "1", CultureInfo.InvariantCulture);

    /// <summary>Values that a key never has: wrong types, wrong signs, sizes that overflow when multiplied, lone surrogates.</summary>
    private static readonly Gen<string> _values = Gen.OneOf(
        Any("null", "true", "\"\"", "\"x\"", "[]", "{}", "[null]", "[[[[1]]]]", "-1", "0", "1", "2", "3", "7", "0.5", "1e999", "-1e999",
            "1e-400", "NaN",
            "2147483647", "2147483648", "4294967296", "9223372036854775807", "-9223372036854775808", "99999999999999999999999", "65536",
            "1000000", "4096",
            "\"\\ud800\"", "{\"\\ud800\":1}", "{\"rope_type\":\"llama3\"}", "{\"rope_type\":\"linear\",\"factor\":0}", "\"gelu\"",
            "[\"sliding_attention\"]", "[[[\"global\"],2147483647]]", "[[[\"global\"],-1]]", "[[[\"global\",\"local\"],1]]", "[[[7],1]]"),
        Gen.Int.Select(i => i.ToString(CultureInfo.InvariantCulture)),
        Gen.Double.Select(d => double.IsFinite(d) ? d.ToString("R", CultureInfo.InvariantCulture) : "0"));

    private readonly TempFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    public static TheoryData<string> Architectures => [.. ArchitectureCatalog.Names];

    [Fact]
    public void SafetensorsHeader_IsReadWholly_OrRefused()
    {
        Gen<string> name =
            Gen.Frequency((1, Any("a", "__metadata__", "", "\\ud800", "\\u0000")), (9, Gen.String[Gen.Char['a', 'z'], 1, 6]));
        Gen<(string Name, string Type, int[] Shape, string Bad, int Where)> entry =
            Gen.Select(name, Any("F32", "BF16", "I64", "U8", "F8_E4M3", "BOOL"), Gen.Int[0, 4].Array[0, 3],
            Gen.Frequency((12, Gen.Const("")), (1, _values)), Gen.Int[0, 4], (n, t, shape, bad, where) => (n, t, shape, bad, where));
        Gen<(string, int)> header = Gen.Select(entry.Array[0, 4], Gen.Frequency((8, Gen.Const(0)), (1, Gen.Int[-4, 4])), (entries, shift) =>
        {
            int at = 0;
            List<string> parts = [];
            foreach (var (n, type, shape, bad, where) in entries)
            {
                int from = at;
                at += shape.Aggregate(SafetensorsDType.FindByName(type)!.Size, (product, size) => product * size) + shift;
                string[] fields = [$"\"{type}\"", $"[{string.Join(",", shape)}]", $"{from}", $"{at}"];
                if (bad.Length > 0 && where < 4) fields[where] = bad;
                parts.Add($"\"{n}\":"
                    + (bad.Length > 0 && where == 4 ? bad
                        : $"{{\"dtype\":{fields[0]},\"shape\":{fields[1]},\"data_offsets\":[{fields[2]},{fields[3]}]}}"));
            }
            return ($"{{{string.Join(",", parts)}}}", Math.Max(0, at));
        });
        int refused = 0, read = 0;
        Gen.Select(header, Gen.Frequency((8, Gen.Const(0)), (1, Gen.Int[-9, 9])), Gen.Int[-3, 3],
            Gen.Frequency((8, Gen.Const(0)), (2, Gen.Int[1, 5])), Gen.Int[0, 200]).Sample((made, more, off, broken, at) =>
        {
            (string text, int data) = (made.Item1, Math.Max(0, made.Item2 + more));
            byte[] json = Encoding.UTF8.GetBytes(text);
            byte[] file = [.. BitConverter.GetBytes((long)json.Length + (broken == 1 ? off : 0)), .. json, .. new byte[data]];
            if (broken > 1 && at < file.Length) file[at] ^= (byte)(1 << broken);
            string path = _folder.File("x.safetensors");
            File.WriteAllBytes(path, file);
            if (Holds(file.Length, () =>
            {
                using SafetensorsFile opened = SafetensorsFile.Open(path);
                Assert.Equal(file.Length, 8 + BitConverter.ToInt64(file, 0) + opened.Entries.Values.Sum(e => e.Length));
                foreach (SafetensorsEntry e in opened.Entries.Values.Where(e => e.DType.Torch is not null))
                    using (Tensor tensor = opened.Read(e.Name)) Assert.Equal(e.Shape, tensor.shape);
            })) read++;
            else refused++;
            Assert.Equal(0, FileMapping.LiveCount(path));
        }, iter: 1500 * _iterationFactor, threads: 1);
        Assert.True(read > 20 && refused > 20, $"{read} read, {refused} refused"); // otherwise the generator would test nothing
    }

    [Fact]
    public void Index_IsRead_OrRefused()
    {
        using (NewDisposeScope())
            SafetensorsWriter.Write(_folder.File("m.safetensors"), new Dictionary<string, Tensor> { ["a"] = ones(2) });
        Gen<string> shard =
            Any("\"m.safetensors\"", "\"none.safetensors\"", "\"../m.safetensors\"", "\"m.bin\"", "\"\\u0000.safetensors\"",
                "\"\\ud800.safetensors\"", "\".safetensors\"");
        Gen<string> map = Gen.Select(Any("a", "b", "\\ud800", "a"), Gen.OneOf(shard, _values), (n, v) => $"\"{n}\":{v}").Array[0, 3]
            .Select(e => $"{{{string.Join(",", e)}}}");
        Gen.OneOf(Gen.OneOf(map, _values).Select(m => $"{{\"weight_map\":{m}}}"), _values, map).Sample(text =>
        {
            _folder.Write("model.safetensors.index.json", text);
            Holds(text.Length, () =>
            {
                Checkpoint.IsComplete(_folder.Path);
                using Checkpoint checkpoint = Checkpoint.Open(_folder.Path);
                foreach (string tensor in checkpoint.Names) checkpoint.Read(tensor).Dispose();
            });
        }, iter: 500 * _iterationFactor, threads: 1);
    }

    [Theory]
    [MemberData(nameof(Architectures))]
    public void Config_DescribesATree_OrIsRefused(string architecture)
    {
        string good = TinyModel.LikeLlama(architecture, kvHeads: 2, layers: 2);
        string[] keys =
            [.. JsonNode.Parse(good)!.AsObject().Select(p => p.Key), "rope_scaling", "rope_parameters", "hidden_act", "activation_function",
                "layer_types", "torch_dtype",
            "tie_word_embeddings", "n_embd", "n_layer", "n_head", "n_inner", "n_positions", "attention_layers", "attention_types",
            "attention_types", "num_layers", "rotary_pct", "rotary_dim", "word_embed_proj_dim",
            "ffn_dim", "num_kv_heads", "new_decoder_architecture", "multi_query", "alibi", "query_pre_attn_scalar", "mlp_only_layers",
            "decoder_sparse_step", "final_logit_softcapping"];
        Gen<(string, string)[]> changes = Gen.Select(Any(keys), _values).Array[1, 4];
        changes.Sample(change =>
        {
            // written as text, because a serializer would reject what a file may contain
            string text = $"{good.Trim()[..^1]}{string.Concat(change.Select(c => $", \"{c.Item1}\": {c.Item2}"))}}}";
            _folder.Write("config.json", text);
            Holds(0, () =>
            {
                ModelLoader.Describe(_folder.Path);
                ModelFolder folder = ModelStore.Find(_folder.Path);
                using LoadedModel shapes = ModelLoader.LoadShapes(folder, ModelLoader.ReadConfig(folder));
            }, most: 512 << 20); // as many modules as there may be, twice
        }, iter: 60 * _iterationFactor, threads: 1);
    }

    [Fact]
    public void Config_OfManyModules_IsRefused_BeforeTheyAreMade()
    {
        foreach (string text in (string[])[TinyModel.GPT2(layers: int.MaxValue), TinyModel.Llama(layers: 1_000_000),
            TinyModel.LikeLlama("MixtralForCausalLM", 2, 4000)
            .Replace("\"num_local_experts\": 4", "\"num_local_experts\": 4000", StringComparison.Ordinal)])
        {
            _folder.Write("config.json", text);
            long before = GC.GetAllocatedBytesForCurrentThread();
            Assert.Throws<CheckpointException>(() => ModelLoader.Describe(_folder.Path));
            Assert.InRange(GC.GetAllocatedBytesForCurrentThread() - before, 0, 1 << 20);
        }
    }

    [Fact]
    public void AnyBytesChanged_InConfigIndexOrAdapter_GiveAResultOrATypedError()
    {
        TinyModel.Write(_folder, TinyModel.GPT2());
        using TempFolder adapter = new();
        AdapterFiles.Write(adapter, ["transformer.h.0.attn.c_attn"], rank: 2, shape: _ => (48, 16));
        string[] files = [_folder.File("config.json"), adapter.File("adapter_config.json"), adapter.File("adapter_model.safetensors")];
        byte[][] good = [.. files.Select(File.ReadAllBytes)];
        int loaded = 0;
        Gen.Select(Gen.Int[0, files.Length - 1], Gen.Select(Gen.Int[0, 399], Gen.Byte).Array[1, 3]).Sample((which, changes) =>
        {
            byte[] bad = [.. good[which]];
            foreach (var (at, value) in changes) bad[at % bad.Length] = value;
            File.WriteAllBytes(files[which], bad);
            if (Holds(0, () => ModelLoader.Load(_folder.Path, null, new LoadOptions { Adapter = adapter.Path }).Dispose(), most: 64 << 20))
                loaded++;
            File.WriteAllBytes(files[which], good[which]);
        }, iter: 600 * _iterationFactor, threads: 1);
        Assert.InRange(loaded, 1, 599 * _iterationFactor);
    }

    [Fact]
    public void AdapterConfig_IsMerged_OrRefused()
    {
        TinyModel.Write(_folder, TinyModel.GPT2());
        using TempFolder adapter = new();
        string[] keys =
            ["r", "lora_alpha", "use_rslora", "rank_pattern", "alpha_pattern", "peft_type", "modules_to_save", "bias", "use_dora",
                "init_lora_weights", "target_modules", "layer_replication"];
        Gen<string> value =
            Gen.OneOf(_values,
                Any("{\"c_attn\":2}", "{\"(a+)+\":2}", "{\"(?=x)\":1}", "{\"[\":1}", "{\"((a{1,1000}){1,1000}){1,1000}\":1}", "{\"\":4}",
                    "\"none\"", "\"LORA\""));
        Gen.Select(Any(keys), value).Array[1, 3].Sample(change =>
        {
            AdapterFiles.Write(adapter, ["transformer.h.0.attn.c_attn"], rank: 2, shape: _ => (48, 16),
                config: $$"""{ "peft_type": "LORA", "r": 2 {{string.Concat(change.Select(c => $", \"{c.Item1}\": {c.Item2}"))}} }""");
            Holds(0, () => ModelLoader.Load(_folder.Path, null, new LoadOptions { Adapter = adapter.Path }).Dispose(), most: 64 << 20);
        }, iter: 300 * _iterationFactor, threads: 1);
    }

    private static Gen<string> Any(params string[] values) => Gen.Int[0, values.Length - 1].Select(i => values[i]);

    /// <summary>
    /// True if the file was read, false if it was rejected by a typed error. Managed memory and native tensors are bounded.
    /// </summary>
    /// <param name="length">The length of the file: ten times as much may be allocated, in addition to the cost of any call.</param>
    private static bool Holds(long length, Action read, long most = 0)
    {
        long tensors = Tensor.TotalCount, before = GC.GetAllocatedBytesForCurrentThread();
        try
        {
            read();
            return true;
        }
        catch (NdifException e)
        {
            Assert.NotEqual(Protocol.ErrorCode.Internal, e.Code);
            Assert.NotEmpty(e.Error.Message);
            return false;
        }
        finally
        {
            Assert.InRange(GC.GetAllocatedBytesForCurrentThread() - before, 0, most > 0 ? most : 10 * length + (1 << 16));
            Assert.InRange(Tensor.TotalCount, 0, tensors); // fewer if the finalizer has freed tensors of an earlier test
        }
    }
}
