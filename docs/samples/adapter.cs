#:project ../../src/Engine/Engine.csproj
#:property RunsTorch=true
using Ndif;
using Ndif.Models.Files;
using TorchSharp;

// a LoRA adapter as PEFT's save_pretrained writes it; one's own, or an id on the hub, is used in the same way
string folder = Directory.CreateTempSubdirectory("lora").FullName;
File.WriteAllText(Path.Combine(folder, "adapter_config.json"),
    """{ "peft_type": "LORA", "r": 2, "lora_alpha": 4, "target_modules": ["c_fc"] }""");
LanguageModel llm = new("ndif/tiny-landmarks");
(long inputs, long outputs) = (128, 512);
SafetensorsWriter.Write(Path.Combine(folder, "adapter_model.safetensors"), new Dictionary<string, torch.Tensor>
{
    ["base_model.model.transformer.h.1.mlp.c_fc.lora_A.weight"] = torch.randn(2, inputs) * 0.3,
    ["base_model.model.transformer.h.1.mlp.c_fc.lora_B.weight"] = torch.randn(outputs, 2) * 0.3,
});

// attached: the model runs as it is, here or on a service, and the trace brings the adapter along
LanguageModel attached = llm.WithAdapter(folder);
// merged: the weights are changed while they are loaded in this process
LanguageModel merged = new("ndif/tiny-landmarks", adapter: folder);
TensorData[] logits = [.. await Task.WhenAll(new[] { llm, attached, merged }.Select(async model =>
    (await model.TraceAsync("The Eiffel Tower is in the city of", t => model.Logits.Save())).Tensor))];
Console.WriteLine($"it changes the logits: {logits[0].MaxAbsDifference(logits[1]) > 1e-2}");
Console.WriteLine($"attached and merged agree: {logits[1].MaxAbsDifference(logits[2]) < 1e-4}");
Directory.Delete(folder, recursive: true);
// prints: it changes the logits: True
// prints: attached and merged agree: True
