namespace Ndif.Tokenizers.Chat.Scopes;

/// <summary>How a name of a scope gets its value when the scope is entered.</summary>
internal enum NameLoad { Parameter, Context, Outer, Undefined }

/// <summary>
/// The names of one scope: the template, a loop, a macro or a block. Jinja decides for each name, when it compiles a template, from which
/// scope it is read. A name that is set anywhere in a scope belongs to the scope as a whole.
/// </summary>
/// <remarks>jinja2/idtracking.py, Symbols</remarks>
internal sealed class ScopeSymbols(ScopeSymbols? parent, bool isTemplate = false)
{
    private Dictionary<string, NameLoad> _loads = new(StringComparer.Ordinal);
    private HashSet<string> _stores = new(StringComparer.Ordinal);
    private readonly Dictionary<string, int> _slots = new(StringComparer.Ordinal);

    public ScopeSymbols? Parent => parent;

    /// <summary>True for the scope of the template itself, whose names its blocks and macros see too.</summary>
    public bool IsTemplate => isTemplate;

    /// <summary>The names of the scope and how each gets its first value.</summary>
    public IReadOnlyDictionary<string, NameLoad> Loads => _loads;

    /// <summary>The names that the scope sets.</summary>
    public IReadOnlyCollection<string> Stores => _stores;

    public void Load(string name)
    {
        if (!IsVisible(name)) _loads[name] = NameLoad.Context;
    }

    public void Store(string name)
    {
        _stores.Add(name);
        if (!_loads.ContainsKey(name)) _loads[name] = parent?.IsVisible(name) == true ? NameLoad.Outer : NameLoad.Undefined;
    }

    public void Declare(string name)
    {
        _stores.Add(name);
        _loads[name] = NameLoad.Parameter;
    }

    /// <summary>Collects the names of branches, of which at most one runs. A name that only a branch sets keeps its outer value.</summary>
    public void CollectBranches(IReadOnlyList<Action> branches)
    {
        Dictionary<string, NameLoad> loads = _loads, allLoads = new(_loads, StringComparer.Ordinal);
        HashSet<string> stores = _stores, allStores = new(_stores, StringComparer.Ordinal);
        foreach (Action collect in branches)
        {
            _loads = new Dictionary<string, NameLoad>(loads, StringComparer.Ordinal);
            _stores = new HashSet<string>(stores, StringComparer.Ordinal);
            collect();
            foreach (var (name, load) in _loads) allLoads[name] = load;
            allStores.UnionWith(_stores);
        }
        foreach (string name in allStores.Except(stores))
            allLoads[name] = parent?.IsVisible(name) == true ? NameLoad.Outer : NameLoad.Context;
        (_loads, _stores) = (allLoads, allStores);
    }

    /// <summary>Finds the scope of a name: the number of scopes outwards, and the slot there; null if no scope knows the name.</summary>
    public (int Depth, int Slot)? Find(string name)
    {
        int depth = 0;
        for (ScopeSymbols? scope = this; scope is not null; scope = scope.Parent, depth++)
            if (scope._loads.ContainsKey(name)) return (depth, scope.GetSlot(name));
        return null;
    }

    /// <summary>The slot of a name of this scope.</summary>
    public int GetSlot(string name)
    {
        if (!_slots.TryGetValue(name, out int slot)) _slots[name] = slot = _slots.Count;
        return slot;
    }

    /// <summary>Gives every name a slot. Called once, when all names are known, so that rendering only reads.</summary>
    public void Complete()
    {
        foreach (string name in _loads.Keys) GetSlot(name);
    }

    private bool IsVisible(string name) => _loads.ContainsKey(name) || parent?.IsVisible(name) == true;
}
