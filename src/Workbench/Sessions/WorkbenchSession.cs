using System.Collections.Concurrent;

namespace Ndif.Workbench.Sessions;

/// <summary>The key and the models of one browser. The address of the gateway is fixed when the workbench starts.</summary>
public sealed class WorkbenchSession(WorkbenchOptions options)
{
    private ConcurrentDictionary<string, LanguageModel> _models = new();
    private string? _enteredKey;

    /// <summary>The address of the gateway.</summary>
    public string Gateway => options.Gateway;

    /// <summary>Calls the service with the key of this session.</summary>
    // a key of the environment is never used in place of one that the options withhold
    public Backend Backend => Backend.At(options.Gateway, _enteredKey ?? ProcessKey ?? "");

    /// <summary>Whether a key was entered on the page.</summary>
    public bool HasEnteredKey => _enteredKey is not null;

    /// <summary>Whether this key was entered on the page.</summary>
    internal bool HasEntered(string key) => _enteredKey is not null && _enteredKey == key.Trim();

    /// <summary>Whether there is a key, from the page or from the process.</summary>
    public bool HasKey => HasEnteredKey || ProcessKey is not null;

    /// <summary>Called when another key is used, on the thread that changed it. The tabs of a browser share a session.</summary>
    public event Action? Changed;

    /// <summary>Uses this key from now on; null or empty for the process's.</summary>
    public void SetKey(string? key)
    {
        _enteredKey = string.IsNullOrWhiteSpace(key) ? null : key.Trim();
        ForgetModels(); // a key may see other models
        Changed?.Invoke();
    }

    /// <summary>The model of this name. Its description is fetched once for the session.</summary>
    public LanguageModel GetModel(string id) => _models.GetOrAdd(id, name => new LanguageModel(name, remote: Backend));

    /// <summary>Fetches the descriptions of models again when they are next needed.</summary>
    public void ForgetModels() => _models = new();

    private string? ProcessKey => options is { IsLoopback: true, ApiKey.Length: > 0 } ? options.ApiKey : null;
}
