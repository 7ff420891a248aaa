using Ndif.Models.Files;
using static TorchSharp.torch;

namespace Ndif.Tests.Support.Models;

/// <summary>LoRA adapters as PEFT writes them, with random matrices.</summary>
public static class AdapterFiles
{
    /// <param name="shape">outFeatures and inFeatures of a module.</param>
    /// <param name="config">adapter_config.json; null for one with the rank and an alpha of twice the rank.</param>
    /// <returns>The matrices by module.</returns>
    public static Dictionary<string, (float[,] A, float[,] B)> Write(TempFolder folder, IEnumerable<string> modules, int rank,
        Func<string, (long Outputs, long Inputs)> shape,
        string? config = null, bool table = false, Action<Dictionary<string, Tensor>>? change = null)
    {
        folder.Write("adapter_config.json", config
            ?? $$"""{ "peft_type": "LORA", "r": {{rank}}, "lora_alpha": {{2 * rank}} }""");
        using var scope = NewDisposeScope();
        using Generator generator = new(7);
        Dictionary<string, Tensor> tensors = [];
        Dictionary<string, (float[,], float[,])> matrices = [];
        foreach (string module in modules)
        {
            (long outputs, long inputs) = shape(module);
            Tensor a = randn([rank, inputs], generator: generator), b = randn([outputs, rank], generator: generator);
            tensors[$"base_model.model.{module}.{(table ? "lora_embedding_A" : "lora_A.weight")}"] = a;
            tensors[$"base_model.model.{module}.{(table ? "lora_embedding_B" : "lora_B.weight")}"] = b;
            matrices[module] = ((float[,])a.data<float>().ToNDArray(), (float[,])b.data<float>().ToNDArray());
        }
        change?.Invoke(tensors);
        SafetensorsWriter.Write(folder.File("adapter_model.safetensors"), tensors);
        return matrices;
    }
}
